"""The open flow for the XC7Z020 around its tools: what they are told, and what is said of what they answer."""

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock
from xml.etree import ElementTree

import pytest
from pumice import open_xc7
from pumice.build import BITSTREAM, MANIFEST, REPORT, BuildError, sha256
from pumice.frames import FrameError
from pumice.open_xc7 import ARCHITECTURE, FABRIC, FAMILY, HAND_OFF, LOADER, PART, ROUTER, Tools
from pumice.spec.config import TINY
from pumice.tools import TimeLimitError

# Stands in for the loader: $1 $2 are the library path, $3 the program.
FAKE_LOADER = """#!/bin/sh
echo "$@" >> $TOLD
case $3 in
*nextpnr*) for word; do case $word in *.json) report=$word;; fasm=*) fasm=${word#fasm=};; esac; done
  echo '{"fmax": {"a": {"achieved": 131.5}, "b": {"achieved": 140}},
    "utilization": {"BRAM": {"used": 3, "available": 9}, "DSP": {"used": 0, "available": 9}}}' > $report
  echo T_X0Y0.ON > $fasm; cat $SAID;;
*/yosys) echo '{"modules": {"top": {"cells": {
    "q": {"type": "FDRE", "connections": {"Q": [2]}},
    "m": {"type": "RAMB18E1", "connections": {"DIADI": [2]}}}}}}' > mapped.json;;
*frames2bit) cat "$9" > "${11}";;
*/yosys-abc.bin) ;;
*) echo broken; exit 1;;
esac
"""

SAID = """Info: a
Info: Device utilisation:
Info: \tBRAM: 3/ 9

Info: b
Info: Critical path report for clock c:
Info: d
Info:   Defined in:
Info:        /somewhere/lut_map.v:30.21-30.22
"""
HOLD = "Info: 2 Hold/min time violations (showing 10 worst paths):\n"


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Tools:
    tools = Tools(tmp_path / "tools")
    loader = tools.root / "usr" / "lib" / ARCHITECTURE / LOADER
    family = tools.share / "prjxray" / "database" / FAMILY
    for folder in (loader.parent, tools.root / "usr" / "bin", family / PART, family / FABRIC):
        folder.mkdir(parents=True)
    loader.write_text(FAKE_LOADER)
    loader.chmod(0o755)
    for program in ("yosys", "yosys-abc", "xc7frames2bit", "other"):
        (tools.root / "usr" / "bin" / program).touch()
    tools.router.parent.mkdir(parents=True)
    tools.router.write_text(f'#!/bin/sh\nexec {loader} --library-path none nextpnr "$@"\n')
    tools.router.chmod(0o755)
    tools.adapt()
    segment = {"baseaddr": "0x00400000", "offset": 0, "words": 2, "frames": 36}
    (family / FABRIC / "tilegrid.json").write_text(
        json.dumps({"T_X0Y0": {"type": "T", "bits": {"CLB_IO_CLK": segment}}})
    )
    (family / "segbits_t.db").write_text("T.ON 02_01\nT.ALWAYS 03_00\n")
    (family / PART / "required_features.fasm").write_text("T_X0Y0.ALWAYS\n")
    (tmp_path / "said").write_text(SAID)
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tools


def told(tmp_path: Path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / "told").read_text().splitlines()]


def test_slowest_clock_counts(tools, tmp_path):
    result = open_xc7.route(tools, tmp_path, 7, 90.5)
    assert result == {
        "seed": 7,
        "mhz": 131.5,
        "hold_violations": 0,
        "utilisation": {"BRAM": {"used": 3, "available": 9}},
    }
    (words,) = told(tmp_path)
    assert words[words.index("--seed") + 1] == "7"
    assert words[words.index("--freq") + 1] == "90.5"
    assert words[words.index("--device") + 1] == PART
    assert Path(words[words.index("--pre-place") + 1]).exists()
    assert "--tmg-ripup" in words
    (tmp_path / "said").write_text(SAID + HOLD)
    assert open_xc7.route(tools, tmp_path, 7, 90.5) == result | {"hold_violations": 2}


class Cell(SimpleNamespace):
    """A LUT for nextpnr's Python: attributes, and the types of the cells behind O6."""

    def __init__(self, attrs: str, *behind: str, kind="SLICE_LUTX", output="O6", n_inputs=4):
        users = [SimpleNamespace(cell=SimpleNamespace(type=kind)) for kind in behind]
        ports = [(f"A{i + 1}", SimpleNamespace(net=Mock() if i < n_inputs else None)) for i in range(6)]
        ports.append((output, SimpleNamespace(net=SimpleNamespace(users=users))))
        super().__init__(type=kind, attrs=[(name, "1") for name in attrs.split()], ports=ports)


def test_large_luts_have_a_site_each(monkeypatch):
    cells = {
        "free": Cell("X_ORIG_PORT_A1", "SLICE_LUTX", "SLICE_FFX"),
        "of a multiplexer": Cell("", "SELMUX2_1"),
        "of a carry chain": Cell("", "SLICE_FFX", "CARRY4"),
        "of a memory": Cell("X_ORIG_PORT_A1 X_LUT_AS_DRAM", "SLICE_FFX"),
        "a shift register": Cell("X_LUT_AS_SRL", "SLICE_FFX"),
        "a lower one": Cell("", "SLICE_FFX", output="O5"),
        "small": Cell("", "SLICE_FFX", n_inputs=3),
        "no LUT": Cell("", "SLICE_FFX", kind="DSP48E1_DSP48E1"),
    }
    ctx = Mock(cells=list(cells.items()))
    ctx.getBels.return_value = ["X1Y1/SLICE_X0Y0.A6LUT", "X1Y1/SLICE_X0Y0.A5LUT", "X1Y1/SLICE_X0Y0.AFF"]
    monkeypatch.setattr(sys.modules["__main__"], "ctx", ctx, raising=False)
    runpy.run_path(str(open_xc7.SITES))
    (region, *corners), _ = ctx.createRectangularRegion.call_args
    assert corners == [1, 1, 0, 0]  # nothing
    ctx.addBelToRegion.assert_called_once_with(region, "X1Y1/SLICE_X0Y0.A6LUT")
    constrained = [call.args for call in ctx.constrainCellToRegion.call_args_list]
    assert constrained == [("free", region), ("of a multiplexer", region)]


def test_report_has_what_matters(tools, tmp_path):
    open_xc7.route(tools, tmp_path, 7, 90.5)
    title, *rest = (tmp_path / "7.txt").read_text().splitlines()
    assert open_xc7.UNTIMED in title
    assert rest == ["", "Device utilisation:", "\tBRAM: 3/ 9", "", "Critical path report for clock c:", "d"]


def test_single_bits_of_memory_join_to_slices():
    """Four with the same address and write enable; what is left takes part of another slice."""

    def bit(d, o, enable=9, address=10):
        pins = {f"A{i}": [address + i] for i in range(6)} | {"D": [d], "O": [o], "WE": [enable], "WCLK": [1]}
        return {"type": "RAM64X1S", "parameters": {"INIT": f"init {d}"}, "connections": pins}

    cells = {f"bit {i}": bit(20 + i, 40 + i) for i in range(5)}
    cells |= {"other enable": bit(30, 50, enable=8), "other address": bit(31, 51, address=11)}
    cells["wide"] = wide = {"type": "RAM64M"}
    module = {"cells": cells}
    open_xc7.join_memories(module)
    assert cells.pop("wide") is wide
    assert {cell["type"] for cell in cells.values()} == {"RAM64M"}
    found = set()
    for cell in cells.values():
        pins = cell["connections"]
        assert pins.keys() == cell["port_directions"].keys()
        assert pins["WCLK"] == [1]
        for letter in "ABCD":
            if f"DI{letter}" in pins:
                assert cell["port_directions"][f"DO{letter}"] == "output"
                assert cell["parameters"][f"INIT_{letter}"] == f"init {pins[f'DI{letter}'][0]}"
                place = (*pins["WE"], *pins[f"ADDR{letter}"], *pins[f"DI{letter}"], *pins[f"DO{letter}"])
                found.add(place)
        assert pins["ADDRD"] == pins["ADDRA"]  # D's is the one that is written
    address = tuple(range(10, 16))
    assert found == {
        *((9, *address, 20 + i, 40 + i) for i in range(5)),
        (8, *address, 30, 50),
        (9, *range(11, 17), 31, 51),
    }
    assert len(cells) == 4


@pytest.mark.parametrize(
    ("names", "apart"),
    [
        (("top.a.own_x", "top.b.own_y", "top.own.z", "top.known_x"), "-set keep_hierarchy 1 top.a.own_x top.b.own_y;"),
        (("top.a",), ""),  # without names it would be every module
    ],
)
def test_registers_with_modules_of_their_own_stay_apart(tools, tmp_path, names, apart):
    text = "".join(f"attribute \\x 1\nmodule \\{name}\nend\n" for name in names)
    open_xc7.synthesise(tools, {"top.il": text}, tmp_path)
    (words,) = told(tmp_path)
    before, after = " ".join(words).split("synth_xilinx -flatten")
    assert ("keep_hierarchy" in before) == bool(apart)
    assert apart in before
    assert after.index("-unset keep_hierarchy *; flatten;") < after.index("write_json")


def test_carry_chains_take_the_register_of_a_sum():
    """The other summand's LUT is saved, unless it is wanted elsewhere, as large as LUTs are, or one of two."""

    def lut(output: int, table: str, *inputs: int) -> dict:
        pins = {f"I{i}": [bit] for i, bit in enumerate(inputs)}
        ways = {**dict.fromkeys(pins, "input"), "O": "output"}
        return {
            "type": f"LUT{len(inputs)}",
            "parameters": {"INIT": table},
            "connections": {**pins, "O": [output]},
            "port_directions": ways,
        }

    def value(name: str, bits: dict[int, int]) -> int:
        pins = cells[name]["connections"]
        place = sum(bits[pins[f"I{i}"][0]] << i for i in range(len(pins) - 1))
        return int(cells[name]["parameters"]["INIT"], 2) >> place & 1

    register = {"type": "FDRE", "connections": {"Q": [1]}, "port_directions": {"Q": "output"}}
    chain = {
        "type": "CARRY4",
        "connections": {"DI": [20, 21, 22, 23], "S": [30, 31, 32, 33]},
        "port_directions": {"DI": "input", "S": "input"},
    }
    cells = {
        "register": register, "chain": chain,
        "saved": lut(20, "1101", 10, 11), "sum": lut(30, "0110", 20, 1),
        "elsewhere": lut(21, "1000", 10, 11), "its sum": lut(31, "0110", 1, 21), "user": lut(40, "01", 21),
        "six": lut(22, "1" * 64, 10, 11, 12, 13, 14, 15), "sum of six": lut(32, "0110", 1, 22),
        "one": lut(23, "1000", 12, 13), "another": lut(24, "1000", 14, 15), "sum of two": lut(33, "0110", 23, 24),
    }  # fmt: skip
    before = {name: (cell["type"], cell["connections"].copy()) for name, cell in cells.items()}
    expected = [value("sum", {1: bit >> 2, 20: value("saved", {10: bit & 1, 11: bit >> 1 & 1})}) for bit in range(8)]
    open_xc7.free_summands({"cells": cells})
    assert before.keys() - cells.keys() == {"saved"}
    assert chain["connections"] == {"DI": [1, 21, 22, 23], "S": [30, 31, 32, 33]}
    assert cells["sum"]["type"] == "LUT3"
    assert cells["sum"]["connections"].keys() == cells["sum"]["port_directions"].keys()
    assert [value("sum", {10: bit & 1, 11: bit >> 1 & 1, 1: bit >> 2}) for bit in range(8)] == expected
    for name in cells.keys() - {"sum", "chain"}:
        assert (cells[name]["type"], cells[name]["connections"]) == before[name]


def test_flip_flops_reach_data_of_block_ram_through_a_lut():
    """One for all inputs of that net, and none where the way is longer anyway."""
    connections = {
        "register": ("FDRE", {"D": [2], "Q": [3]}),
        "other": ("FDSE", {"D": [3], "Q": [4]}),
        "lut": ("LUT1", {"I0": [3], "O": [5]}),
        "ram": ("RAMB18E1", {"DIADI": [3, 5, "0"], "ADDRARDADDR": [3, 4], "DOADO": [2]}),
        "larger": ("RAMB36E1", {"DIBDI": [3, 3], "WEA": [3]}),
    }
    module = {"cells": {name: {"type": kind, "connections": nets} for name, (kind, nets) in connections.items()}}
    open_xc7.insert_hold_buffers(module)
    (added,) = module["cells"].keys() - connections.keys()
    cell = module["cells"][added]
    ((delayed,), (source,)) = cell["connections"]["O"], cell["connections"]["I0"]
    assert (cell["type"], int(cell["parameters"]["INIT"], 2), source) == ("LUT1", 0b10, 3)
    assert delayed not in (2, 3, 4, 5)
    expected = {
        **connections,
        "ram": ("RAMB18E1", {"DIADI": [delayed, 5, "0"], "ADDRARDADDR": [3, 4], "DOADO": [2]}),
        "larger": ("RAMB36E1", {"DIBDI": [delayed, delayed], "WEA": [3]}),
    }
    assert {n: (c["type"], c["connections"]) for n, c in module["cells"].items() if n != added} == expected


def test_bitstream_holds_what_every_part_needs(tools, tmp_path):
    open_xc7.route(tools, tmp_path, 1, 90.5)
    open_xc7.pack(tools, tmp_path / "1.fasm", tmp_path / "out.bit")
    assert [line[:32] for line in (tmp_path / "out.bit").read_text().splitlines()] == [
        "0x00400002 0x00000002,0x00000000", "0x00400003 0x00000001,0x00000000"
    ]  # fmt: skip


def test_products_agree(tools, tmp_path, monkeypatch):
    """The hand-off has the fastest clock of the processor below the slowest timed path."""
    files = {"top.il": "netlist", "soft_core.v": "core"}
    monkeypatch.setattr(open_xc7, "design", lambda config: files)
    folder, work = tmp_path / "product", tmp_path / "work"
    manifest = open_xc7.build_pynq_z2(TINY, folder, tools, work, seeds=range(3, 6))
    assert json.loads((folder / MANIFEST).read_text()) == json.loads(json.dumps(manifest))
    (kept,) = work.iterdir()
    assert (kept / "top.il").read_text() == "netlist"
    assert "LUT1" in (kept / "top.json").read_text()
    assert sorted(path.name for path in folder.iterdir()) == sorted((BITSTREAM, HAND_OFF, MANIFEST, REPORT))
    assert sha256((folder / BITSTREAM).read_bytes()) == manifest["bitstream_sha256"]
    assert sha256((folder / HAND_OFF).read_bytes()) == manifest["hand_off_sha256"]
    assert manifest["mhz_by_seed"] == {3: 131.5, 4: 131.5, 5: 131.5}
    assert manifest["clock_mhz"] == 125.0  # 1000 / 8, and 1000 / 7 is above 131.5
    tree = ElementTree.fromstring((folder / HAND_OFF).read_text())
    (divisor,) = (e.get("VALUE") for e in tree.iter("PARAMETER") if e.get("NAME") == "PCW_FCLK0_PERIPHERAL_DIVISOR0")
    assert divisor == "8"
    asked = [words[words.index("--freq") + 1] for words in told(tmp_path) if "--freq" in words]
    assert asked == 3 * ["120.0"]
    tried = {words[words.index("--seed") + 1] for words in told(tmp_path) if "--seed" in words}
    assert tried == {"3", "4", "5"}
    (paths,) = (words for words in told(tmp_path) if words[2].endswith("xc7frames2bit"))
    assert paths[paths.index("--frm_file") + 1] == "3.frames"  # its name is in the bitstream: no folder of this machine


def test_a_build_goes_on_from_what_is_there(tools, tmp_path, monkeypatch):
    """What has been synthesised and routed is not done again, unless sources, tools or, to route, clock differ."""
    files = {"top.il": "netlist", "soft_core.v": "core"}
    monkeypatch.setattr(open_xc7, "design", lambda config: files)

    def build(config=TINY) -> list[str]:
        """What the build ran."""
        (tmp_path / "told").write_text("")
        open_xc7.build_pynq_z2(config, tmp_path / "product", tools, tmp_path / "work", seeds=range(1, 3))
        return [Path(words[2]).name for words in told(tmp_path)]

    whole = build()
    assert sorted(whole) == ["nextpnr", "nextpnr", "xc7frames2bit", "yosys"]
    assert build() == ["xc7frames2bit"]
    (kept,) = (tmp_path / "work").glob("*/*/2.result.json")
    kept.unlink()  # ended while it routed
    assert build() == ["nextpnr", "xc7frames2bit"]
    assert build(replace(TINY, clock_mhz=100.0)) == ["nextpnr", "nextpnr", "xc7frames2bit"]
    files["top.il"] += "+"
    assert sorted(build()) == sorted(whole)
    monkeypatch.setattr(Tools, "versions", lambda self: {"prjxray": "next"})
    assert build() == ["nextpnr", "nextpnr", "xc7frames2bit"]
    monkeypatch.setattr(Tools, "versions", lambda self: {"yosys": "next", "prjxray": "next"})
    assert sorted(build()) == sorted(whole)


def test_hold_times_come_before_the_clock(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(open_xc7, "design", lambda config: {"top.il": "", "soft_core.v": ""})
    route = open_xc7.route

    def some_violate(tools, work, seed, mhz):  # the fast ones; one does not route at all
        if seed == 4:
            raise TimeLimitError("too long")
        result = route(tools, work, seed, mhz)
        return result | {"mhz": result["mhz"] - (seed == 2), "hold_violations": 2 * (seed != 2)}

    monkeypatch.setattr(open_xc7, "route", some_violate)
    folder = tmp_path / "product"
    with pytest.raises(BuildError, match=r"hold times in each placement, .* \(seeds 3, 4\): try another seed"):
        open_xc7.build_pynq_z2(TINY, folder, tools, tmp_path / "work", seeds=range(3, 5))
    assert not folder.exists()
    manifest = open_xc7.build_pynq_z2(TINY, folder, tools, tmp_path / "work", seeds=range(1, 5))
    assert manifest["seed"] == 2
    assert manifest["mhz_by_seed"] == {1: 131.5, 2: 130.5, 3: 131.5, 4: 0}
    assert manifest["median_mhz"] == 131


def test_an_unknown_feature_makes_no_bitstream(tools, tmp_path):
    (tmp_path / "1.fasm").write_text("T_X0Y0.OFF\n")
    with pytest.raises(FrameError, match="no OFF in T_X0Y0"):
        open_xc7.pack(tools, tmp_path / "1.fasm", tmp_path / "out.bit")
    assert not (tmp_path / "out.bit").exists()


def test_tools_need_nothing_of_the_machine(tools, tmp_path):
    """Yosys looks for its data and ABC beside what the kernel runs; ABC finds its libraries when Yosys starts it."""
    loader = Path(next(word for word in map(str, tools.command("yosys")) if word.endswith(LOADER)))
    assert loader.parent == tools.root / "usr" / "bin"
    subprocess.run([loader.parent / "yosys-abc", "-s", "a b"], check=True, timeout=10)
    ((_, libraries, program, *arguments),) = told(tmp_path)
    assert libraries == str(tools.root / "usr" / "lib" / ARCHITECTURE)
    assert Path(program).parent == loader.parent
    assert Path(program).exists()
    assert arguments == ["-s", "a", "b"]


def test_tools_of_an_older_fetch_are_fetched_again(tools, tmp_path):
    (tools.root / "usr" / "bin" / LOADER).unlink()
    with pytest.raises(BuildError, match=r"yosys is not in .*--fetch"):
        tools.run("yosys", cwd=tmp_path)


def test_a_missing_tool_is_named(tools, tmp_path):
    with pytest.raises(BuildError, match=r"absent is not in .*--fetch"):
        tools.run("absent", cwd=tmp_path)


def test_a_tool_that_fails_is_quoted(tools, tmp_path):
    with pytest.raises(BuildError, match="failed:\nbroken"):
        tools.run("other", cwd=tmp_path)


PATCH = """--- a/placer.cc
+++ b/placer.cc
@@ -1 +1 @@
-as it comes
+changed
"""
# Stands in for CMake: what it builds is what was compiled.
FAKE_CMAKE = """#!/bin/sh
case $1 in
-S) test -z "$LACKING" || { echo Could NOT find Boost; exit 1; };;
--build) cp ../placer.cc nextpnr-himbaechel-xilinx;;
esac
"""


@pytest.fixture
def source(tools, tmp_path, monkeypatch) -> Path:
    """What is built: nextpnr's, and our changes."""
    tree = tmp_path / "nextpnr-1.2"
    tree.mkdir()
    (tree / "placer.cc").write_text("as it comes\n")
    subprocess.run(["tar", "-cJf", tools.folder / "nextpnr_1.2+dfsg.orig.tar.xz", tree.name], cwd=tmp_path, check=True)
    (tmp_path / "nextpnr.patch").write_text(PATCH)
    monkeypatch.setattr(open_xc7, "CHANGES", tmp_path / "nextpnr.patch")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "cmake").write_text(FAKE_CMAKE)
    (programs / "cmake").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return tree


def test_nextpnr_is_built_with_our_changes(tools, source, tmp_path):
    with pytest.raises(BuildError, match=r"nextpnr-himbaechel-xilinx is not in .*--fetch"):
        tools.command(ROUTER)  # the one that is there has other changes
    tools.build_router()
    (router, *arguments) = tools.command(ROUTER, "--seed", 1)
    assert router.read_text() == "changed\n"
    assert arguments == ["--seed", 1]
    assert tools.versions()[ROUTER] == f"1.2+dfsg, nextpnr.patch {sha256(PATCH.encode())[:12]}"


def test_changes_that_do_not_fit_are_said(tools, source, tmp_path):
    (tmp_path / "nextpnr.patch").write_text(PATCH.replace("as it comes", "as it came"))
    with pytest.raises(BuildError, match=r"patch failed:[^$]*FAILED"):
        tools.build_router()
    with pytest.raises(BuildError, match="not in"):
        tools.command(ROUTER)


def test_headers_that_lack_are_named(tools, source, monkeypatch):
    monkeypatch.setenv("LACKING", "yes")
    with pytest.raises(BuildError, match=r"needs libboost-all-dev[^$]*Could NOT find Boost"):
        tools.build_router()


def test_fetching_says_what_the_build_needs(tools, monkeypatch, tmp_path):
    for program in ("apt-get", "dpkg", "patch"):
        (tmp_path / program).touch()
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"needs cmake g\+\+ libboost-all-dev .*: apt-get install them"):
        tools.fetch()


def test_fetching_needs_apt(tools, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="needs apt-get and dpkg"):
        tools.fetch()
