"""The multiply-accumulate lanes of one core."""

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..pipeline import delayed

LOWEST = -128  # of the maximum over no term


class MacArray(wiring.Component):
    """A multiply-accumulator for each lane, all with the same weight; one term a cycle, rows back to back.

    A row is the terms from ``first`` to ``last``. Its result in a lane is the sum of ``weight * vector[lane]`` (mod
    2**32), or with ``max`` the maximum of -128 and those ``vector[lane]`` whose weight is not zero. A cycle with
    ``valid`` 0 changes nothing. A lane is one DSP48 (A/B, M and P registers): in front of it a register holds the
    activation or the running maximum; the latter passes through the multiplier with weight 1 and is not accumulated.

    Members
    -------
    vector : In(ArrayLayout(unsigned(8), config.n_lanes))
        Activations, int8 as bytes.
    weight : In(signed(8))
    valid, first, last : In(1)
        There is a term; it begins, ends its row.
    max : In(1)
        Maximum instead of sum; goes with the term.
    accumulators : Out(ArrayLayout(signed(32), config.n_lanes))
        Result of the row whose last term was given ``latency`` cycles ago, in the cycle of ``done`` only.
    done : Out(1)
        ``accumulators`` holds a finished row.

    Attributes
    ----------
    latency : int
        Cycles from the last term to ``done``.
    """

    latency = 4

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "vector": In(data.ArrayLayout(unsigned(8), config.n_lanes)),
                "weight": In(signed(8)),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "max": In(1),
                "accumulators": Out(data.ArrayLayout(signed(32), config.n_lanes)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        nothing = Signal()  # the term does not take part in the maximum
        weight = Signal(signed(8), reset_less=True)
        m.d.comb += nothing.eq(self.max & (self.weight == 0))
        m.d.sync += weight.eq(Mux(self.max, 1, self.weight))
        restart = delayed(m, self.first | self.max, 3)  # what P held is dropped
        enable = delayed(m, self.valid, 3)
        m.d.comb += self.done.eq(delayed(m, self.valid & self.last, self.latency, reset_less=False))
        for lane in range(self.config.n_lanes):
            x = self.vector[lane].as_signed()
            operand = Signal(signed(8), reset_less=True)
            with m.If(self.valid & ~nothing & (~self.max | self.first | (x > operand))):
                m.d.sync += operand.eq(x)
            with m.If(self.valid & nothing & self.first):
                m.d.sync += operand.eq(LOWEST)
            product = Signal(signed(16), reset_less=True)
            accumulator = Signal(signed(32), reset_less=True)
            m.d.sync += product.eq(delayed(m, operand, 1) * delayed(m, weight, 1))
            with m.If(enable):
                m.d.sync += accumulator.eq(Mux(restart, 0, accumulator) + product)
            m.d.comb += self.accumulators[lane].eq(accumulator)
        return m
