"""Decoder of `pumice.spec.formats.relative`."""

from amaranth import Module
from pumice.spec.formats.relative import GAP_BITS

from .base import Decoder


class RelativeDecoder(Decoder):
    """A gap each step; no state."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.index_bits.eq(GAP_BITS), self.has_value.eq(1)]
        m.d.sync += self.step.advance.eq(self.window[:GAP_BITS])
        return m
