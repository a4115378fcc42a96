"""On-chip memory that takes DRAM's place: an AXI4 slave for the DMA with a word port for the host's link."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..system.buses import Axi4

OKAY, DECERR = 0, 3
READ_AHEAD = 8  # words on their way to the master: three cycles of latency and some slack
MIN_BYTES = 4096  # an AXI burst does not cross 4 KiB, so it is inside when its first word is


class WordPort(wiring.Signature):
    """32-bit access to a memory that is never refused, seen from the initiator.

    Members
    -------
    address : Out(32)
        Byte address, a multiple of 4.
    write_data : Out(32)
        Word to write while ``write`` is 1.
    write, read : Out(1)
        At most one of them, and none until ``done``.
    read_data : In(32)
        Valid with ``done`` of a read.
    done : In(1)
        One cycle, at least one cycle after ``write`` or ``read``.
    """

    def __init__(self):
        super().__init__(
            {
                "address": Out(32),
                "write_data": Out(32),
                "write": Out(1),
                "read": Out(1),
                "read_data": In(32),
                "done": In(1),
            }
        )


class OnChipMemory(wiring.Component):
    """Block RAM from bus address 0; a word a cycle in each direction when the other port is quiet.

    One read and one write burst at a time; the first word of a read comes 4 cycles after its address. ``wstrb`` is
    taken as all ones: the DMA writes whole words. Bursts outside the memory are answered with DECERR; reads give
    unspecified data then, writes are lost.

    Parameters
    ----------
    n_bytes : int
        A power of two, at least MIN_BYTES; ValueError otherwise.

    Members
    -------
    axi : In(Axi4())
        INCR bursts of 8-byte beats.
    link : In(WordPort())
        Goes before ``axi``. Addresses repeat above ``n_bytes``.
    """

    axi: wiring.PureInterface
    link: wiring.PureInterface

    def __init__(self, n_bytes: int):
        if n_bytes < MIN_BYTES or n_bytes & (n_bytes - 1):
            raise ValueError(f"n_bytes must be a power of two, at least {MIN_BYTES}, not {n_bytes}")
        self._n_bytes = n_bytes
        super().__init__({"axi": In(Axi4()), "link": In(WordPort())})

    def elaborate(self, platform):
        m = Module()
        axi, link = self.axi, self.link
        depth = self._n_bytes // 8
        m.submodules.memory = memory = Memory(shape=64, depth=depth, init=[])
        write, read = memory.write_port(granularity=32), memory.read_port()
        first, end = 3, self._n_bytes.bit_length() - 1  # address bits of a word
        link_word, link_high = link.address[first:end], link.address[2]

        m.submodules.arrived = arrived = SyncFIFO(width=66, depth=READ_AHEAD)
        reading, read_word, n_left = Signal(), Signal(range(depth), reset_less=True), Signal(8, reset_less=True)
        room = Signal(range(READ_AHEAD + 1), init=READ_AHEAD)
        issue, taken, outside = Signal(), Signal(), Signal(reset_less=True)
        m.d.comb += [
            axi.arready.eq(~reading),
            issue.eq(reading & (room != 0) & ~link.read),
            read.addr.eq(Mux(link.read, link_word, read_word)),
            taken.eq(axi.rvalid & axi.rready),
        ]
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [
                reading.eq(1),
                read_word.eq(axi.araddr[first:end]),
                n_left.eq(axi.arlen),
                outside.eq(axi.araddr[end:].any()),
            ]
        with m.If(issue):
            m.d.sync += [reading.eq(n_left != 0), read_word.eq(read_word + 1), n_left.eq(n_left - 1)]
        m.d.sync += room.eq(room - issue + taken)

        tags = Signal(4)  # of the word that the memory gives in this cycle: for axi, last, outside, for link
        ready_tags, word = Signal(4), Signal(64, reset_less=True)
        m.d.sync += [
            tags.eq(Cat(issue, n_left == 0, outside, link.read)),
            ready_tags.eq(tags),
            word.eq(read.data),
        ]
        m.d.comb += [
            arrived.w_en.eq(ready_tags[0]),
            arrived.w_data.eq(Cat(word, ready_tags[1:3])),
            axi.rvalid.eq(arrived.r_rdy),
            arrived.r_en.eq(axi.rready),
            Cat(axi.rdata, axi.rlast).eq(arrived.r_data),
            axi.rresp.eq(Mux(arrived.r_data[65], DECERR, OKAY)),
        ]

        written = Signal()
        m.d.sync += written.eq(link.write)
        m.d.comb += [link.done.eq(written | ready_tags[3]), link.read_data.eq(word.word_select(link_high, 32))]

        write_word, lost = Signal(range(depth), reset_less=True), Signal(reset_less=True)
        with m.FSM():
            with m.State("ADDRESS"):
                m.d.comb += axi.awready.eq(1)
                m.d.sync += [write_word.eq(axi.awaddr[first:end]), lost.eq(axi.awaddr[end:].any())]
                with m.If(axi.awvalid):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += axi.wready.eq(~link.write)
                with m.If(axi.wvalid & axi.wready):
                    m.d.comb += write.en.eq(~lost.replicate(2))
                    m.d.sync += write_word.eq(write_word + 1)
                    with m.If(axi.wlast):
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [axi.bvalid.eq(1), axi.bresp.eq(Mux(lost, DECERR, OKAY))]
                with m.If(axi.bready):
                    m.next = "ADDRESS"
        m.d.comb += [write.addr.eq(write_word), write.data.eq(axi.wdata)]
        with m.If(link.write):
            m.d.comb += [
                write.addr.eq(link_word),
                write.data.eq(link.write_data.replicate(2)),
                write.en.eq(Cat(~link_high, link_high)),
            ]
        return m
