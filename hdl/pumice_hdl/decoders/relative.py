"""Decoder of `pumice.spec.formats.relative`."""

from amaranth import Module
from pumice.spec.formats.relative import GAP_BITS

from .base import Decoder


class RelativeDecoder(Decoder):
    """A gap and a weight each step; no state."""

    def elaborate(self, platform):
        m = Module()
        gap, weight = self.window[:GAP_BITS], self.window[GAP_BITS : GAP_BITS + 8]
        m.d.comb += [self.step.advance.eq(gap), self.step.weight.eq(weight), self.n_bits.eq(GAP_BITS + 8)]
        return m
