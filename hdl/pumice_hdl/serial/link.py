"""The board's end of the serial link: carries out the host's requests (`pumice.spec.link`)."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.link import LINK_REQUEST, LINK_RESPONSE, MAX_WORDS, SPACE_MEMORY

from ..layouts import word_layout
from ..system.buses import Axi4Lite
from .frames import FrameReceiver, FrameTransmitter
from .memory import WordPort

REQUEST_LAYOUT, RESPONSE_LAYOUT = word_layout(LINK_REQUEST), word_layout(LINK_RESPONSE)


class Link(wiring.Component):
    """Answers one request at a time. What arrives while it is at work is lost; what is damaged is not answered.

    A write begins when its whole request has arrived and is answered when it is done.

    Parameters
    ----------
    memory_bytes : int
        Told to the host; a power of two.

    Members
    -------
    received : In(stream of 8 bits, always ready)
    sent : Out(stream of 8 bits)
    registers : Out(Axi4Lite())
        Must answer every access.
    memory : Out(WordPort())
    """

    received: stream.Interface
    sent: stream.Interface
    registers: wiring.PureInterface
    memory: wiring.PureInterface

    def __init__(self, memory_bytes: int):
        self._memory_log2 = memory_bytes.bit_length() - 1
        super().__init__(
            {
                "received": In(stream.Signature(8, always_ready=True)),
                "sent": Out(stream.Signature(8)),
                "registers": Out(Axi4Lite()),
                "memory": Out(WordPort()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.transmitter = transmitter = FrameTransmitter()
        m.submodules.buffer = buffer = Memory(shape=32, depth=MAX_WORDS, init=[])
        keep, fetch = buffer.write_port(), buffer.read_port()
        wiring.connect(m, wiring.flipped(self.received), receiver.bytes)
        wiring.connect(m, transmitter.bytes, wiring.flipped(self.sent))

        request, collecting = Signal(REQUEST_LAYOUT), Signal()
        n_received = Signal(range(MAX_WORDS + 5))  # words of the frame, one more than any request has at most
        n_expected = Signal.like(n_received)
        first_data = LINK_REQUEST.n_words
        m.d.comb += [
            n_expected.eq(Mux(request.write, request.n_words_minus_1 + 1, 0) + first_data + 1),
            receiver.discard.eq(~collecting),
            keep.addr.eq(n_received - first_data),
            keep.data.eq(receiver.words.payload),
            keep.en.eq(receiver.words.valid & collecting & (n_received >= first_data)
                       & (n_received < first_data + MAX_WORDS)),
        ]  # fmt: skip
        with m.If(receiver.end):
            m.d.sync += n_received.eq(0)
        with m.Elif(receiver.words.valid & (n_received != MAX_WORDS + 4)):
            m.d.sync += n_received.eq(n_received + 1)
        for i in range(first_data):
            with m.If(receiver.words.valid & collecting & (n_received == i)):
                m.d.sync += request.as_value().word_select(i, 32).eq(receiver.words.payload)

        known, last_sequence = Signal(), Signal(8, reset_less=True)
        place, last = Signal(range(MAX_WORDS), reset_less=True), Signal()
        word = Signal(32, reset_less=True)
        response = Signal(RESPONSE_LAYOUT)
        axi, memory, out = self.registers, self.memory, transmitter.words
        m.d.comb += [
            last.eq(place == request.n_words_minus_1),
            fetch.addr.eq(place),
            response.sequence.eq(request.sequence),
            response.memory_log2.eq(self._memory_log2),
            axi.awaddr.eq(request.address),
            axi.araddr.eq(request.address),
            axi.wdata.eq(fetch.data),
            axi.wstrb.eq(~0),
            memory.address.eq(request.address),
            memory.write_data.eq(fetch.data),
        ]
        for valid, ready in ((axi.awvalid, axi.awready), (axi.wvalid, axi.wready), (axi.arvalid, axi.arready)):
            with m.If(ready):
                m.d.sync += valid.eq(0)

        def step(state: str) -> None:
            m.d.sync += [place.eq(place + 1), request.address.eq(request.address + 4)]
            m.next = state

        def send(payload, is_last) -> None:
            m.d.comb += [out.valid.eq(1), out.p.data.eq(payload), out.p.last.eq(is_last)]

        with m.FSM():
            with m.State("COLLECT"):
                m.d.comb += collecting.eq(1)
                m.d.sync += place.eq(0)
                with m.If(receiver.end & receiver.ok & (n_received == n_expected)):
                    m.d.sync += [known.eq(1), last_sequence.eq(request.sequence)]
                    m.next = "RESPOND"
                    with m.If(request.write & ~(known & (request.sequence == last_sequence))):
                        m.next = "FETCH"
            with m.State("RESPOND"):
                send(response, request.write)
                with m.If(out.ready):
                    m.next = "ACCESS"
                    with m.If(request.write):
                        m.next = "COLLECT"
            with m.State("FETCH"):
                m.next = "ACCESS"
            with m.State("ACCESS"):
                m.next = "WAIT"
                with m.If(request.space == SPACE_MEMORY):
                    m.d.comb += [memory.write.eq(request.write), memory.read.eq(~request.write)]
                with m.Elif(request.write):
                    m.d.sync += [axi.awvalid.eq(1), axi.wvalid.eq(1)]
                with m.Else():
                    m.d.sync += axi.arvalid.eq(1)
            with m.State("WAIT"):
                m.d.comb += [axi.bready.eq(1), axi.rready.eq(1)]
                m.d.sync += word.eq(Mux(request.space == SPACE_MEMORY, memory.read_data, axi.rdata))
                with m.If(memory.done | axi.bvalid | axi.rvalid):
                    with m.If(~request.write):
                        m.next = "DELIVER"
                    with m.Elif(last):
                        m.next = "RESPOND"
                    with m.Else():
                        step("FETCH")
            with m.State("DELIVER"):
                send(word, last)
                with m.If(out.ready):
                    with m.If(last):
                        m.next = "COLLECT"
                    with m.Else():
                        step("ACCESS")
        return m
