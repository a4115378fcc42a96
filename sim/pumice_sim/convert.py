"""Amaranth to Verilog that simulates fast.

Verilator evaluates what it is given. Amaranth's own Verilog has a combinational block for the next state of every
register, with the reset in it, and joins and splits vectors at every border of a component. Yosys removes that: it
flattens, finds the registers' enables and resets, and merges and sweeps what is the same or unused.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from amaranth import ClockDomain, DomainRenamer, Module, Signal
from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from pumice.tools import YOSYS, wasm

from .verilate import TOP

KEEP = "proc -nomux -norom; memory_collect"
"""As Amaranth does it: hierarchy and names stay, for waveforms."""

# A multiplexer with a decoded select would become a function of one wide vector of all choices (pmuxtree), a sum that
# is cut off would be made in twice the width (wreduce), and a vector that is driven piece by piece would be put
# together again for every reader (splitnets).
FLATTEN = (
    "proc -norom; memory_collect; flatten; opt -full -share_all; wreduce; opt_clean -purge; pmuxtree; opt_expr; "
    "opt_clean; splitnets -driver; opt_clean -purge"
)

_ZEROS = re.compile(r"  initial begin\n(?:    .*\[\d+\] = \d+'[hdb]0+;\n)+  end\n")


class Clocked(wiring.Component):
    """A design as the simulated board drives it: registers in front of ``memory``'s inputs and the reset.

    What an input port reaches combinationally is evaluated at both edges of the clock, and a reset reaches everything.

    Members
    -------
    clk, rst : In(1)
        Clock and synchronous reset, which acts a cycle later.
    host, memory, ... :
        Ports of ``design``; inputs of ``memory`` act a cycle later.
    """

    clk: Signal
    rst: Signal

    def __init__(self, design: wiring.Component):
        self.design = design
        super().__init__({**design.signature.members, "clk": In(1), "rst": In(1)})

    def elaborate(self, platform):
        """Two domains on one clock."""
        m = Module()
        m.domains.sync = sync = ClockDomain(reset_less=True)
        m.domains.late = late = ClockDomain()
        # One signal, so that no simulator sees one edge before the other.
        sync.clk = late.clk = self.clk  # pyright: ignore[reportAttributeAccessIssue]
        m.d.sync += late.rst.eq(self.rst)  # pyright: ignore[reportAttributeAccessIssue]
        m.submodules.design = DomainRenamer("late")(self.design)
        ports = {path: port for path, _, port in self.signature.flatten(self)}
        for path, member, port in self.design.signature.flatten(self.design):
            if member.flow is not In:
                m.d.comb += ports[path].eq(port)
            elif path[0] == "memory":
                m.d.sync += port.eq(ports[path])
            else:
                m.d.comb += port.eq(ports[path])
        return m


def board_verilog(design: wiring.Component, *, trace: bool = False) -> str:
    """Verilog of a design with the ports ``host``, ``memory`` and ``interrupt``, for ``cpp/board.cpp``."""
    return simulation_verilog(Clocked(design), trace=trace)


def simulation_verilog(design: wiring.Component, *, trace: bool = False) -> str:
    """Verilog of ``design`` as module ``top``. Behaves like Amaranth's, but memories of zeros have no initial value.

    Parameters
    ----------
    trace : bool
        Keep hierarchy and names.

    Raises
    ------
    RuntimeError
        Yosys failed; the message ends with what it said.
    BuildError
        It is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:  # Yosys as WebAssembly sees its working folder only
        Path(folder, "design.il").write_text(rtlil.convert(design, name=TOP, emit_src=False))
        passes = KEEP if trace else FLATTEN
        script = f"read_rtlil design.il; hierarchy -top {TOP}; {passes}; write_verilog -norename -noattr design.v"
        run = subprocess.run(wasm(YOSYS, "-q", "-p", script), capture_output=True, text=True, cwd=folder, check=False)
        if run.returncode:
            raise RuntimeError(f"yosys failed:\n{(run.stdout + run.stderr)[-2000:]}")
        return _ZEROS.sub("", Path(folder, "design.v").read_text())
