"""Bit reader: turns stream words into the bits a decoder asks for."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import WEIGHT_WORD_BITS

from ..pipeline import shifted

CHUNK_BITS = 32
N_CHUNKS = 4


class BitReader(wiring.Component):
    """The next ``window_bits`` bits of a stream of words, LSB first; takes up to all of them each cycle, for ever.

    The words lie in a ring of four half-words. ``window`` is a register; the bits behind it are found in the ring
    while the decoder works, so that only one shift by ``n_bits`` follows the decoder.

    Members
    -------
    words : In(stream of 64 bits)
        At most one word each two cycles; ``ready`` depends on registers only.
    window : Out(window_bits)
        The next bits, while ``available``.
    available : Out(1)
        The window is filled. Four cycles after the first word is offered.
    n_bits : In(range(window_bits + 1))
        Bits to consume.
    take : In(1)
        Consume in this cycle; only while ``available``.
    align : In(1)
        Behind what is taken in this cycle (if anything), skip to the next multiple of 64 bits, that is the next word of
        the stream; nothing on a multiple. Costs one cycle on a multiple, else two if the words are there, in which
        ``available`` is 0.
    restart : In(1)
        From the next cycle on, everything read so far is gone.
    """

    def __init__(self, window_bits: int):
        if not 1 <= window_bits <= CHUNK_BITS // 2:
            raise ValueError(f"window_bits must be in 1..{CHUNK_BITS // 2}, not {window_bits}")
        self.window_bits = window_bits
        super().__init__(
            {
                "words": In(stream.Signature(WEIGHT_WORD_BITS)),
                "window": Out(window_bits),
                "available": Out(1),
                "n_bits": In(range(window_bits + 1)),
                "take": In(1),
                "align": In(1),
                "restart": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ring = [Signal(CHUNK_BITS, name=f"chunk{i}", reset_less=True) for i in range(N_CHUNKS)]
        # Positions count modulo twice the ring, so that full and empty differ.
        written = Signal(range(2 * N_CHUNKS))  # chunks
        ahead = Signal(range(2 * N_CHUNKS * CHUNK_BITS))  # bits: the first one behind the window
        chunk, offset = ahead[5:], ahead[:5]
        n_ahead = Signal(range(2 * N_CHUNKS))  # chunks from the one that holds `ahead`
        m.d.comb += n_ahead.eq(written - chunk)

        accept = Signal()
        m.d.comb += [accept.eq(self.words.valid & (n_ahead != N_CHUNKS)), self.words.ready.eq(accept & written[0])]
        with m.If(accept):
            m.d.sync += written.eq(written + 1)
            with m.Switch(written[:2]):
                for i, half in enumerate(ring):
                    with m.Case(i):  # even places hold low halves
                        m.d.sync += half.eq(self.words.payload.word_select(i % 2, CHUNK_BITS))

        chunks = Signal(2 * CHUNK_BITS)
        with m.Switch(chunk[:2]):
            for i, first in enumerate(ring):
                with m.Case(i):
                    m.d.comb += chunks.eq(Cat(first, ring[(i + 1) % N_CHUNKS]))
        following = shifted(m, chunks, offset, self.window_bits)

        filled, next_filled = Signal(), Signal()
        aligning = Signal()
        # What follows the window is in the ring: two chunks are there from where `ahead` was a cycle ago, and if it has
        # entered the second one, it has gone no further than to its first half.
        covered = (n_ahead >= 2) | ((n_ahead == 1) & accept)
        position = (ahead - self.window_bits)[: len(ahead)]  # of the window
        in_word, word = position[:6], position[6:]
        m.d.comb += next_filled.eq(filled)
        with m.If(aligning), m.If(in_word != 0):
            # A word's halves enter the ring in neighbouring cycles, so all of the current word is there and `ahead`
            # does not overtake `written`. With the window not filled yet, `ahead` stands on the right place already.
            m.d.comb += next_filled.eq(0)
            m.d.sync += ahead.eq(Cat(Const(0, 6), word + 1))
        with m.Elif((n_ahead >= 2) & ~filled):
            m.d.comb += next_filled.eq(1)
            m.d.sync += [self.window.eq(following), ahead.eq(ahead + self.window_bits)]
        with m.Elif(self.take):
            m.d.sync += [
                self.window.eq(shifted(m, Cat(self.window, following), self.n_bits, self.window_bits)),
                ahead.eq(ahead + self.n_bits),
            ]
        m.d.sync += [
            filled.eq(next_filled),
            aligning.eq(self.align),
            self.available.eq(covered & next_filled & ~self.align),  # a register, for much depends on it
        ]
        with m.If(self.restart):
            m.d.sync += [
                written.eq(0), ahead.eq(0), filled.eq(0), aligning.eq(0), self.available.eq(0),
            ]  # fmt: skip
        return m
