"""Decoder of `pumice.spec.formats.nm`."""

from amaranth import Module, Mux, Signal, signed

from .base import Decoder


class NMDecoder(Decoder):
    """An index in the group each step; slots are counted."""

    def elaborate(self, platform):
        m = Module()
        last_slot, last_place = self.parameter[:4], self.parameter[4:]  # N - 1, M - 1
        n_bits = Signal(range(5))
        mask = Signal(4)
        with m.If(last_place >= 8):
            m.d.sync += [n_bits.eq(4), mask.eq(15)]
        with m.Elif(last_place >= 4):
            m.d.sync += [n_bits.eq(3), mask.eq(7)]
        with m.Elif(last_place >= 2):
            m.d.sync += [n_bits.eq(2), mask.eq(3)]
        with m.Else():
            m.d.sync += [n_bits.eq(last_place), mask.eq(last_place)]

        slot = Signal(4)
        offset = Signal(signed(6))  # from the place in the group to the advance, which is stored minus one
        this_slot, place = Signal(4), Signal(4)
        m.d.comb += [
            this_slot.eq(Mux(self.first, 0, slot)),
            place.eq(self.window[:4] & mask),
            self.index_bits.eq(n_bits),
            self.has_value.eq(1),
        ]
        m.d.sync += self.step.advance.eq(place + Mux(self.first, 0, offset))
        with m.If(self.take):
            with m.If(this_slot == last_slot):
                m.d.sync += [slot.eq(0), offset.eq(last_place - place)]
            with m.Else():
                m.d.sync += [slot.eq(this_slot + 1), offset.eq(-1 - place)]
        return m
