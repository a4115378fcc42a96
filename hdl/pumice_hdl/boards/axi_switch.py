"""One AXI4-Lite master, two slaves."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..system.buses import Axi4Lite


class Axi4LiteSwitch(wiring.Component):
    """Joins one AXI4-Lite master to two slaves, one write and one read at a time.

    A write is handed on when its address and its data have come, in any order.

    Members
    -------
    axi : In(Axi4Lite(address_bits))
        The master.
    first, second : Out(Axi4Lite())
        The slaves; the topmost address bit chooses.
    """

    axi: wiring.PureInterface
    first: wiring.PureInterface
    second: wiring.PureInterface

    def __init__(self, address_bits: int):
        super().__init__({"axi": In(Axi4Lite(address_bits)), "first": Out(Axi4Lite()), "second": Out(Axi4Lite())})

    def elaborate(self, platform):
        m = Module()
        axi, slaves = self.axi, (self.first, self.second)
        address_held, data_held, to_second = Signal(), Signal(), Signal()
        reading, asked, from_second = Signal(), Signal(), Signal()
        address_sent, data_sent = Signal(), Signal()
        write_address, read_address = Signal.like(axi.awaddr), Signal.like(axi.araddr)
        write_data, strobes = Signal.like(axi.wdata), Signal.like(axi.wstrb)
        writing = address_held & data_held
        m.d.comb += [axi.awready.eq(~address_held), axi.wready.eq(~data_held), axi.arready.eq(~reading)]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [address_held.eq(1), write_address.eq(axi.awaddr), to_second.eq(axi.awaddr[-1])]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += [data_held.eq(1), write_data.eq(axi.wdata), strobes.eq(axi.wstrb)]
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [reading.eq(1), asked.eq(0), read_address.eq(axi.araddr), from_second.eq(axi.araddr[-1])]

        for second, slave in enumerate(slaves):
            write_here, read_here = Signal(), Signal()
            m.d.comb += [
                write_here.eq(writing & (to_second == second)),
                read_here.eq(reading & (from_second == second)),
                slave.awaddr.eq(write_address),
                slave.awvalid.eq(write_here & ~address_sent),
                slave.wdata.eq(write_data),
                slave.wstrb.eq(strobes),
                slave.wvalid.eq(write_here & ~data_sent),
                slave.bready.eq(write_here & axi.bready),
                slave.araddr.eq(read_address),
                slave.arvalid.eq(read_here & ~asked),
                slave.rready.eq(read_here & axi.rready),
            ]
            with m.If(slave.awvalid & slave.awready):
                m.d.sync += address_sent.eq(1)
            with m.If(slave.wvalid & slave.wready):
                m.d.sync += data_sent.eq(1)
            with m.If(slave.arvalid & slave.arready):
                m.d.sync += asked.eq(1)
            with m.If(slave.bvalid & slave.bready):
                m.d.sync += [address_held.eq(0), data_held.eq(0), address_sent.eq(0), data_sent.eq(0)]
            with m.If(slave.rvalid & slave.rready):
                m.d.sync += reading.eq(0)

        def chosen(name: str, second: Signal):
            return Mux(second, getattr(self.second, name), getattr(self.first, name))

        m.d.comb += [
            axi.bvalid.eq(writing & chosen("bvalid", to_second)),
            axi.bresp.eq(chosen("bresp", to_second)),
            axi.rvalid.eq(reading & chosen("rvalid", from_second)),
            axi.rresp.eq(chosen("rresp", from_second)),
            axi.rdata.eq(chosen("rdata", from_second)),
        ]
        return m
