"""A small design with the ports of the system: copies memory over AXI4 when a register is written.

It stands in for the system so that the board, its memory model and its protocol checks are proved on their own.
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice_hdl.system.buses import Axi4, Axi4Lite

SOURCE, DESTINATION, LENGTH, GO, RESPONSES = 0x00, 0x04, 0x08, 0x0C, 0x10
FAULT_NONE, FAULT_WLAST, FAULT_UNSTABLE, FAULT_DEAF = 0, 1, 2, 3
SILENT = 0x40  # a register that never answers


class Copier(wiring.Component):
    """Copies one burst of ``length + 1`` (up to 256) 64-bit words and raises the interrupt.

    ``GO``'s value selects a planted fault of the bus protocol. Reading ``RESPONSES`` gives the read response (bits
    1..0) and the write response (bits 3..2) and clears the interrupt.

    Members
    -------
    host : In(Axi4Lite())
    memory : Out(Axi4())
    interrupt : Out(1)
    """

    def __init__(self):
        super().__init__({"host": In(Axi4Lite()), "memory": Out(Axi4()), "interrupt": Out(1)})

    def elaborate(self, platform):
        """Registers, then one state machine for the copy."""
        m = Module()
        host, memory = self.host, self.memory
        m.submodules.words = words = Memory(shape=64, depth=256, init=[])
        write_port, read_port = words.write_port(), words.read_port(domain="comb")
        source, destination, length, fault = Signal(32), Signal(32), Signal(8), Signal(2)
        responses, index, go = Signal(4), Signal(8), Signal()

        write = Signal()
        m.d.comb += [
            write.eq(host.awvalid & host.wvalid & ~host.bvalid),
            host.awready.eq(write),
            host.wready.eq(write),
            host.arready.eq(~host.rvalid & (host.araddr != SILENT)),
        ]
        with m.If(host.bvalid & host.bready):
            m.d.sync += host.bvalid.eq(0)
        with m.If(host.rvalid & host.rready):
            m.d.sync += host.rvalid.eq(0)
        m.d.sync += go.eq(0)
        with m.If(write):
            m.d.sync += host.bvalid.eq(1)
            with m.Switch(host.awaddr):
                with m.Case(SOURCE):
                    m.d.sync += source.eq(host.wdata)
                with m.Case(DESTINATION):
                    m.d.sync += destination.eq(host.wdata)
                with m.Case(LENGTH):
                    m.d.sync += length.eq(host.wdata)
                with m.Case(GO):
                    m.d.sync += [go.eq(1), fault.eq(host.wdata)]
        with m.If(host.arvalid & host.arready):
            m.d.sync += host.rvalid.eq(1)
            with m.Switch(host.araddr):
                with m.Case(SOURCE):
                    m.d.sync += host.rdata.eq(source)
                with m.Case(LENGTH):
                    m.d.sync += host.rdata.eq(length)
                with m.Case(RESPONSES):
                    m.d.sync += [host.rdata.eq(responses), self.interrupt.eq(0)]

        m.d.comb += [
            memory.araddr.eq(source), memory.arlen.eq(length), memory.arsize.eq(3), memory.arburst.eq(1),
            memory.awaddr.eq(destination), memory.awlen.eq(length), memory.awsize.eq(3), memory.awburst.eq(1),
            memory.wstrb.eq(0xFF), memory.rready.eq(1), memory.bready.eq(1),
            write_port.addr.eq(index), write_port.data.eq(memory.rdata), read_port.addr.eq(index),
        ]  # fmt: skip
        flicker = Signal()
        m.d.sync += flicker.eq(~flicker)
        m.d.comb += memory.wdata.eq(read_port.data + (flicker & (fault == FAULT_UNSTABLE)))

        with m.FSM():
            with m.State("IDLE"), m.If(go):
                m.d.sync += [memory.arvalid.eq(1), index.eq(0)]
                m.next = "READ"
            with m.State("READ"):
                with m.If(memory.arready):
                    m.d.sync += memory.arvalid.eq(0)
                m.d.comb += write_port.en.eq(memory.rvalid)
                with m.If(memory.rvalid):
                    m.d.sync += [index.eq(index + 1), responses[0:2].eq(memory.rresp)]
                    with m.If(memory.rlast):
                        m.d.sync += [memory.awvalid.eq(1), index.eq(0)]
                        m.next = "WRITE"
            with m.State("WRITE"):
                with m.If(memory.awready):
                    m.d.sync += memory.awvalid.eq(0)
                m.d.comb += [
                    memory.wvalid.eq(fault != FAULT_DEAF),
                    memory.wlast.eq((index == length) ^ ((fault == FAULT_WLAST) & (index == 0))),
                ]
                with m.If(memory.wvalid & memory.wready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == length):
                        m.next = "ANSWER"
            with m.State("ANSWER"), m.If(memory.bvalid):
                m.d.sync += [self.interrupt.eq(1), responses[2:4].eq(memory.bresp)]
                m.next = "IDLE"
        return m
