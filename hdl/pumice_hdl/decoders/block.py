"""Decoder of `pumice.spec.formats.block`."""

from amaranth import Module, Mux, Signal
from amaranth.lib.memory import Memory
from pumice.spec.formats.block import ESCAPE, GAP_BITS, MAX_B, MAX_CODES

from .base import Decoder


class BlockDecoder(Decoder):
    """A code for each block, from the stream or as the memory keeps it from an earlier row.

    Whether a code comes next is a register, and so is the code that is kept: lengths must be early, block RAM is late.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.codes = memory = Memory(shape=GAP_BITS, depth=MAX_CODES, init=[])
        write, read = memory.write_port(), memory.read_port()

        left = Signal(range(MAX_B))  # positions of the block that are still to come
        inside = Signal()  # left != 0
        brings = Signal()  # the row has its own codes
        n_used = Signal(range(MAX_CODES))
        # Codes of earlier rows: the next one, the one behind it, a row's first two.
        kept, kept_behind, kept_first, kept_second = (Signal(GAP_BITS) for _ in range(4))

        is_code, comes = Signal(), Signal()
        code, place = Signal(GAP_BITS), Signal.like(n_used)
        escapes = Signal()
        m.d.comb += [
            is_code.eq(self.first | ~inside),
            comes.eq(Mux(self.first, self.window[0], brings & ~inside)),
            place.eq(Mux(self.first, 0, n_used)),
            code.eq(
                Mux(
                    self.first,
                    Mux(self.window[0], self.window[1:], kept_first),
                    Mux(brings, self.window, kept),
                )
            ),
            escapes.eq(is_code & (code == ESCAPE)),
            self.has_value.eq(~escapes),
            self.index_bits.eq(Mux(comes, GAP_BITS, 0) + self.first),
        ]
        with m.If(escapes):
            m.d.sync += self.step.advance.eq(Mux(self.longest < ESCAPE - 1, self.longest, ESCAPE - 1))
        with m.Elif(is_code):
            m.d.sync += self.step.advance.eq(code)
        with m.Else():
            m.d.sync += self.step.advance.eq(0)

        next_left, next_used = Signal.like(left), Signal.like(n_used)
        m.d.comb += [
            next_left.eq(Mux(is_code, Mux(escapes, 0, self.parameter), left - 1)),
            next_used.eq(Mux(self.take & is_code, place + 1, n_used)),
            write.en.eq(self.take & is_code & comes),
            write.addr.eq(place),
            write.data.eq(code),
            read.addr.eq(Mux(self.take & is_code, place + 2, n_used + 1)),  # next_used + 1, ``take`` being late
            kept_behind.eq(read.data),
        ]
        m.d.sync += n_used.eq(next_used)
        with m.If(self.take & is_code):
            m.d.sync += kept.eq(Mux(self.first, kept_second, kept_behind))
            with m.If(comes & (place == 1)):
                m.d.sync += kept_second.eq(code)
        with m.If(self.take):
            m.d.sync += [left.eq(next_left), inside.eq(next_left != 0)]
            with m.If(self.first):
                m.d.sync += brings.eq(self.window[0])
                with m.If(self.window[0]):
                    m.d.sync += kept_first.eq(self.window[1:])
        return m
