"""Accumulators to int8 activations."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.numerics import MULTIPLIER_BITS

from ..pipeline import delayed


def _mixed(bits):
    """The bits are not all equal."""
    return bits.any() & ~bits.all()


class Requantiser(wiring.Component):
    """`pumice.spec.numerics.requantise`, bit for bit, one value a cycle.

    The 32 x 31 bit product is made of four 17 x 17 signed multiplications, each one DSP48 (A/B, M and P registers).

    Members
    -------
    accumulator, bias : In(signed(32))
    multiplier : In(31)
    shift : In(5)
        These four belong to one value.
    zero_point, low, high : In(signed(8))
        Output zero point and clamp, ``low <= high``; must hold while a value is under way.
    activation : Out(signed(8))
        Result, ``latency`` cycles after its value.

    Attributes
    ----------
    latency : int
        Cycles.
    """

    latency = 10

    def __init__(self):
        super().__init__(
            {
                "accumulator": In(signed(32)),
                "bias": In(signed(32)),
                "multiplier": In(MULTIPLIER_BITS),
                "shift": In(5),
                "zero_point": In(signed(8)),
                "low": In(signed(8)),
                "high": In(signed(8)),
                "activation": Out(signed(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()

        def registered(value):
            return delayed(m, value, 1)

        # (product + 2**30) >> 31, the product made of halves of 16 bits. A DSP block adds what the one before carries,
        # and takes its factors a cycle later: A/B, M and P registers are cycles 1 to 3 of the first, 4 to 6 of the
        # last.
        total = registered((self.bias + self.accumulator)[:32])
        multiplier = registered(self.multiplier)
        total_low, total_high = total[:16], total[16:].as_signed()
        multiplier_low, multiplier_high = multiplier[:16], multiplier[16:]

        def product_sum(a, b, n_behind, addend):
            return registered(registered(delayed(m, a, n_behind) * delayed(m, b, n_behind)) + addend)

        low = product_sum(total_low, multiplier_low, 0, 1 << 30)
        middle = product_sum(total_low, multiplier_high, 1, low[16:])
        middle = product_sum(total_high, multiplier_low, 2, middle)
        high = product_sum(total_high, multiplier_high, 3, middle[16:].as_signed())
        scaled = Cat(registered(middle[15]), high)[:32].as_signed()

        # Cycles 7 and 8: shift by 8 * shift[3:] and by shift[:3]. The bit below the result's and whether any bit
        # below that was set decide the rounding; only results of 10 bits escape saturation.
        shift = delayed(m, self.shift, 6)
        extended = Cat(Const(0, 1), scaled).as_signed()
        coarse, coarse_rest = Signal(signed(33), reset_less=True), Signal(reset_less=True)
        with m.Switch(shift[3:]):
            for n in range(4):
                with m.Case(n):
                    m.d.sync += [coarse.eq(extended >> 8 * n), coarse_rest.eq(extended[: 8 * n].any())]
        fine, fine_rest = Signal(signed(19), reset_less=True), Signal(reset_less=True)
        with m.Switch(registered(shift[:3])):
            for n in range(8):
                with m.Case(n):
                    m.d.sync += [fine.eq(coarse[:19].as_signed() >> n), fine_rest.eq(coarse_rest | coarse[:n].any())]
        negative = registered(coarse[-1])
        outside = registered(_mixed(coarse[18:])) | _mixed(fine[10:])

        # Cycle 9: round half away from zero (as a carry in) and add the zero point. Cycle 10: clamp.
        round_up = fine[0] & (~negative | fine_rest)
        rounded = Cat(round_up, fine[1:11]).as_signed() + Cat(round_up, self.zero_point).as_signed()
        sum_, negative, outside = registered(rounded[1:].as_signed()), registered(negative), registered(outside)
        above = Mux(outside, ~negative, sum_ > self.high)
        below = Mux(outside, negative, sum_ < self.low)
        clamped = Mux(above, self.high, Mux(below, self.low, sum_[:8].as_signed()))
        m.d.comb += self.activation.eq(registered(clamped))
        return m
