"""What the boards with a Zynq put into programmable logic: `System` with ports that Vivado understands."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.boards import CONTROL_PORT, INTERRUPT_PORT, MEMORY_PORT
from pumice.spec.config import EngineConfig

from ..system.buses import Axi4, Axi4Lite
from ..top import System

CLOCK, RESET = "aclk", "aresetn"


class PumiceEngine(wiring.Component):
    """The engine as IP.

    Attributes on the ports, not their names, tell Vivado which bus they belong to.

    Parameters
    ----------
    config : EngineConfig
    firmware : bytes
        As for `System`.

    Members
    -------
    aclk, aresetn : In(1)
        Clock of both buses; reset, low-active, synchronous.
    host : In(Axi4Lite())
    memory : Out(Axi4())
    interrupt : Out(1)
        As `System`'s.
    """

    aclk: Signal
    aresetn: Signal
    interrupt: Signal

    def __init__(self, config: EngineConfig, firmware: bytes):
        self.config = config
        self.firmware = firmware
        super().__init__(
            {
                CLOCK: In(1),
                RESET: In(1),
                CONTROL_PORT: In(Axi4Lite()),
                MEMORY_PORT: Out(Axi4()),
                INTERRUPT_PORT: Out(1),
            }
        )
        self.aclk.attrs.update(
            {
                "X_INTERFACE_INFO": f"xilinx.com:signal:clock:1.0 {CLOCK} CLK",
                "X_INTERFACE_PARAMETER": f"ASSOCIATED_BUSIF {CONTROL_PORT}:{MEMORY_PORT}, ASSOCIATED_RESET {RESET}",
            }
        )
        self.aresetn.attrs.update(
            {
                "X_INTERFACE_INFO": f"xilinx.com:signal:reset:1.0 {RESET} RST",
                "X_INTERFACE_PARAMETER": "POLARITY ACTIVE_LOW",
            }
        )
        self.interrupt.attrs.update(
            {
                "X_INTERFACE_INFO": f"xilinx.com:signal:interrupt:1.0 {INTERRUPT_PORT} INTERRUPT",
                "X_INTERFACE_PARAMETER": "SENSITIVITY LEVEL_HIGH",
            }
        )
        for bus in (CONTROL_PORT, MEMORY_PORT):
            interface = getattr(self, bus)
            for name in interface.signature.members:
                port = getattr(interface, name)
                port.attrs["X_INTERFACE_INFO"] = f"xilinx.com:interface:aximm:1.0 {bus} {name.upper()}"

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.system = system = System(self.config, self.firmware)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn), self.interrupt.eq(system.interrupt)]
        wiring.connect(m, wiring.flipped(getattr(self, CONTROL_PORT)), system.host)
        wiring.connect(m, system.memory, wiring.flipped(getattr(self, MEMORY_PORT)))
        return m
