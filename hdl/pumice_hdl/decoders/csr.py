"""Decoder of `pumice.spec.formats.csr`."""

from amaranth import Module
from pumice.spec.formats.csr import INDEX_BITS

from .base import Decoder


class CsrDecoder(Decoder):
    """An absolute index each step, which the address generator splits into tap and channel; no state."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.index_bits.eq(INDEX_BITS), self.has_value.eq(1), self.step.absolute.eq(1)]
        m.d.sync += self.step.index.eq(self.window[:INDEX_BITS])
        return m
