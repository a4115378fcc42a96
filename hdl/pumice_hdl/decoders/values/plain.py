"""Decoder of `pumice.spec.values.plain`."""

from amaranth import Module

from ...pipeline import delayed
from .base import VALUE_LATENCY, ValueDecoder


class PlainDecoder(ValueDecoder):
    """A byte."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.value_bits.eq(8), self.weight.eq(delayed(m, self.window[:8], VALUE_LATENCY))]
        return m
