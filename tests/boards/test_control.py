"""The PYNQ-Z2's interrupt controller and the way to it and to the engine's registers."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.boards import INTERRUPT_CONTROLLER_OFFSET
from pumice.spec.config import TINY
from pumice_hdl.boards.axi_switch import Axi4LiteSwitch
from pumice_hdl.boards.interrupt_controller import InterruptController
from pumice_hdl.system.buses import Axi4Lite
from pumice_hdl.system.host_registers import Axi4LiteFront, HostRegisters

from tests.hdl.harness import simulate

ADDRESS_BITS = INTERRUPT_CONTROLLER_OFFSET.bit_length()


class Control(wiring.Component):
    """As in `PynqZ2`, the system being its host registers."""

    source: Signal
    interrupt: Signal
    host: wiring.PureInterface

    def __init__(self):
        super().__init__({"host": In(Axi4Lite(ADDRESS_BITS)), "source": In(1), "interrupt": Out(1)})

    def elaborate(self, platform):
        """As there."""
        m = Module()
        m.submodules.switch = switch = Axi4LiteSwitch(ADDRESS_BITS)
        m.submodules.front = front = Axi4LiteFront()
        m.submodules.interrupts = interrupts = InterruptController()
        m.submodules.registers = registers = HostRegisters(TINY)
        wiring.connect(m, wiring.flipped(self.host), switch.axi)
        wiring.connect(m, switch.first, registers.host)
        wiring.connect(m, switch.second, front.axi)
        wiring.connect(m, front.bus, interrupts.bus)
        m.d.comb += [interrupts.source.eq(self.source), self.interrupt.eq(interrupts.interrupt)]
        return m


def test_control():
    simulate(Control(), "control_tb", n_tests=4)
