"""Frames of the serial link: between bytes and 32-bit words, with escapes and CRC (`pumice.spec.link`)."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out
from pumice.spec.link import END, ESCAPE, ESCAPED

CRC = catalog.CRC32_ISO_HDLC(data_width=8)  # zlib's
FRAME_WORD_LAYOUT = data.StructLayout({"data": 32, "last": 1})


class FrameReceiver(wiring.Component):
    """Words of frames, and at the end of each frame whether it was whole.

    Members
    -------
    bytes : In(stream of 8 bits, always ready)
        At most one in two cycles.
    discard : In(1)
        A frame of which a byte arrives meanwhile will not be ``ok``.
    words : Out(stream of 32 bits, always ready)
        The frame's words, its CRC last.
    end : Out(1)
        One cycle at the end of each frame that is not empty, after its words.
    ok : Out(1)
        Valid with ``end``: whole words, every escape a known one, and the CRC fits.
    """

    bytes: stream.Interface
    words: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "bytes": In(stream.Signature(8, always_ready=True)),
                "discard": In(1),
                "words": Out(stream.Signature(32, always_ready=True)),
                "end": Out(1),
                "ok": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC.create()
        byte, is_end, is_escape = self.bytes.payload, Signal(), Signal()
        escaped, damaged, empty = Signal(), Signal(), Signal(init=1)
        n_bytes = Signal(2)
        m.d.comb += [
            is_end.eq(self.bytes.valid & (byte == END)),
            is_escape.eq(self.bytes.valid & (byte == ESCAPE)),
            crc.start.eq(is_end),
            crc.valid.eq(self.bytes.valid & ~is_end & ~is_escape),
            crc.data.eq(byte),
            self.end.eq(is_end & ~empty),
            self.ok.eq(crc.match_detected & (n_bytes == 0) & ~escaped & ~damaged),
        ]
        with m.If(escaped), m.Switch(byte):
            for plain, code in ESCAPED.items():
                with m.Case(code):
                    m.d.comb += crc.data.eq(plain)
        with m.If(self.bytes.valid):
            m.d.sync += [escaped.eq(is_escape), empty.eq(is_end)]
            with m.If(self.discard | (escaped & ~Cat(byte == code for code in ESCAPED.values()).any())):
                m.d.sync += damaged.eq(1)
        m.d.sync += self.words.valid.eq(crc.valid & (n_bytes == 3))
        with m.If(crc.valid):
            m.d.sync += [n_bytes.eq(n_bytes + 1), self.words.payload.eq(Cat(self.words.payload[8:], crc.data))]
        with m.If(is_end):
            m.d.sync += [n_bytes.eq(0), damaged.eq(0)]
        return m


class FrameTransmitter(wiring.Component):
    """Frames from words; adds the CRC.

    Members
    -------
    words : In(stream of FRAME_WORD_LAYOUT)
        ``last`` ends a frame.
    bytes : Out(stream of 8 bits)
    """

    words: stream.Interface
    bytes: stream.Interface

    def __init__(self):
        super().__init__({"words": In(stream.Signature(FRAME_WORD_LAYOUT)), "bytes": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC.create()
        out = self.bytes
        word, byte = Signal(32), Signal(8)
        place = Signal(2)
        special, escaped = Signal(), Signal()  # the byte needs a pair, whose first half has been sent
        sent = Signal()
        m.d.comb += [
            byte.eq(word.word_select(place, 8)),
            special.eq((byte == END) | (byte == ESCAPE)),
            crc.data.eq(byte),
        ]

        def send_word():
            code = Mux(byte == END, ESCAPED[END], ESCAPED[ESCAPE])
            m.d.comb += [
                out.payload.eq(Mux(escaped, code, Mux(special, ESCAPE, byte))),
                sent.eq(out.valid & out.ready & (escaped | ~special)),
            ]
            with m.If(out.valid & out.ready):
                m.d.sync += escaped.eq(special & ~escaped)
            with m.If(sent):
                m.d.sync += place.eq(place + 1)

        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [out.payload.eq(END), out.valid.eq(self.words.valid), crc.start.eq(1)]
                with m.If(out.valid & out.ready):
                    m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += [
                    word.eq(self.words.p.data),
                    out.valid.eq(self.words.valid),
                    crc.valid.eq(sent),
                    self.words.ready.eq(sent & (place == 3)),
                ]
                send_word()
                with m.If(self.words.ready & self.words.p.last):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [word.eq(crc.crc), out.valid.eq(1)]
                send_word()
                with m.If(sent & (place == 3)):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [out.payload.eq(END), out.valid.eq(1)]
                with m.If(out.ready):
                    m.next = "BEGIN"
        return m
