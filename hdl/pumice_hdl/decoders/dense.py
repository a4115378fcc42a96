"""Decoder of `pumice.spec.formats.dense`."""

from amaranth import Module

from .base import Decoder


class DenseDecoder(Decoder):
    """A byte a step, advancing one position; no state."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.step.advance.eq(0), self.step.weight.eq(self.window[:8]), self.n_bits.eq(8)]
        return m
