"""Decoder of `pumice.spec.formats.dense`."""

from amaranth import Module

from .base import Decoder


class DenseDecoder(Decoder):
    """No index, one position a step; no state."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.has_value.eq(1)
        return m
