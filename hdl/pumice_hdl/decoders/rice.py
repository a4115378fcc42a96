"""Decoder of `pumice.spec.formats.rice`."""

from amaranth import Array, Module, Mux, Signal
from pumice.spec.formats.rice import MAX_K, MAX_QUOTIENT, Rice

from .base import Decoder


class RiceDecoder(Decoder):
    """A gap or an escape each step; no state but what follows from ``k``.

    The first zero among eight bits, or none, chooses from nine cases, of which registers hold all but the remainder;
    quotients behind the longest one are escapes.
    """

    def elaborate(self, platform):
        m = Module()
        k = self.parameter[:3]
        formats = [Rice(min(i, MAX_K)) for i in range(1 << len(k))]
        remainder_mask, reach = Signal(MAX_K), Signal(6)
        m.d.sync += remainder_mask.eq(Array((1 << f.k) - 1 for f in formats)[k])
        m.d.comb += reach.eq(Array((f.max_quotient << f.k) - 1 for f in formats)[k])

        lengths, advances, are_gaps = [], [], []
        for q in range(MAX_QUOTIENT + 1):
            is_quotient = Array(q < f.max_quotient for f in formats)[k]
            is_gap = Signal(name=f"is_gap{q}")
            length = Signal(range(MAX_QUOTIENT + MAX_K + 2), name=f"length{q}")
            base = Signal(6, name=f"base{q}")  # of the advance
            m.d.sync += [
                is_gap.eq(is_quotient),
                length.eq(Array(q + 1 + f.k if q < f.max_quotient else f.max_quotient for f in formats)[k]),
                base.eq(Mux(is_quotient, q << k, Mux(reach < self.longest, reach, self.longest))),
            ]
            remainder = self.window[q + 1 :] & remainder_mask & is_gap.replicate(MAX_K)
            lengths.append(length)
            advances.append(base | remainder)
            are_gaps.append(is_gap)
        m.d.comb += [
            self.index_bits.eq(_at_first_zero(self.window[:MAX_QUOTIENT], lengths)),
            self.has_value.eq(_at_first_zero(self.window[:MAX_QUOTIENT], are_gaps)),
        ]
        m.d.sync += self.step.advance.eq(_at_first_zero(self.window[:MAX_QUOTIENT], advances))
        return m


def _at_first_zero(bits, choices: list):
    """``choices[i]``, ``i`` being the place of the lowest 0 of ``bits``; the last one if there is none. A tree."""
    if len(choices) == 1:
        return choices[0]
    half = len(choices) // 2
    low, high = _at_first_zero(bits[: half - 1], choices[:half]), _at_first_zero(bits[half:], choices[half:])
    return Mux(bits[:half].all(), high, low)
