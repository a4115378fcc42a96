"""An interrupt controller with the registers of Xilinx's AXI INTC, as far as PYNQ uses them."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..system.buses import RegisterBus

STATUS, PENDING, ENABLE, ACKNOWLEDGE, SET_ENABLE, CLEAR_ENABLE, MASTER_ENABLE = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C


class InterruptController(wiring.Component):
    """One level-sensitive input (Xilinx PG099: ISR, IPR, IER, IAR, SIE, CIE and ME of MER; HIE always on).

    A high input sets the status, and sets it again in the cycle after an acknowledgement while it stays high.

    Members
    -------
    bus : In(RegisterBus())
        Bit 0 of each register; other bits read as 0.
    source : In(1)
        Active high.
    interrupt : Out(1)
        High while status and enable are, and the master enable.
    """

    bus: wiring.PureInterface
    source: Signal
    interrupt: Signal

    def __init__(self):
        super().__init__({"bus": In(RegisterBus()), "source": In(1), "interrupt": Out(1)})

    def elaborate(self, platform):
        m = Module()
        bus, one = self.bus, self.bus.write_data[0]
        status, enable, master = Signal(), Signal(), Signal()
        pending = status & enable
        m.d.sync += [status.eq(status | self.source), self.interrupt.eq(pending & master), bus.read_data.eq(0)]
        with m.Switch(bus.address):
            for offset, value in ((STATUS, status), (PENDING, pending), (ENABLE, enable)):
                with m.Case(offset):
                    m.d.sync += bus.read_data.eq(value)
        with m.If(bus.write), m.Switch(bus.address):
            with m.Case(ENABLE):
                m.d.sync += enable.eq(one)
            with m.Case(ACKNOWLEDGE):
                m.d.sync += status.eq(status & ~one)
            with m.Case(SET_ENABLE):
                m.d.sync += enable.eq(enable | one)
            with m.Case(CLEAR_ENABLE):
                m.d.sync += enable.eq(enable & ~one)
            with m.Case(MASTER_ENABLE):
                m.d.sync += master.eq(one)
        return m
