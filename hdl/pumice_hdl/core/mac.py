"""The multiply-accumulate lanes of one core."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..pipeline import delayed, halves_swapped
from .stripe_lanes import LANE_TERM_LAYOUT

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
        Activations, int8 as bytes; lane ``i``'s is element ``i``.
    swapped : In(1)
        The halves of ``vector`` are in each other's place.
    weight : In(signed(8))
    valid, first, last : In(1)
        There is a term; it begins, ends its row.
    max : In(1)
        Maximum instead of sum; goes with the term.
    striped : In(1)
        The lanes take ``lane_terms`` while ``lane_valid``, each its own, and nothing else; must hold while terms are
        under way.
    lane_terms : In(ArrayLayout(LANE_TERM_LAYOUT, config.n_lanes)), lane_valid : In(1)
        Terms of a striped layer.
    accumulators : Out(ArrayLayout(signed(32), config.n_lanes))
        Result of the row whose last term was given ``latency`` cycles ago, in the cycle of ``done`` only.
    done : Out(1)
        ``accumulators`` holds a finished row.
    lanes_done : Out(config.n_lanes)
        Lanes whose accumulator holds their share of a row of a striped layer.

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
                "swapped": In(1),
                "weight": In(signed(8)),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "max": In(1),
                "striped": In(1),
                "lane_terms": In(data.ArrayLayout(LANE_TERM_LAYOUT, config.n_lanes)),
                "lane_valid": In(1),
                "accumulators": Out(data.ArrayLayout(signed(32), config.n_lanes)),
                "done": Out(1),
                "lanes_done": Out(config.n_lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # What a lane takes along is delayed in one vector of all lanes: a simulator copies words.
        n_lanes, terms = self.config.n_lanes, list(self.lane_terms)
        nothing = Signal()  # the term does not take part in the maximum
        m.d.comb += nothing.eq(self.max & (self.weight == 0))
        valid = Mux(self.striped, self.lane_valid, self.valid)
        multiplies = delayed(m, valid, 2)
        accumulates = delayed(m, multiplies, 1)
        m.d.comb += self.done.eq(delayed(m, self.valid & self.last, self.latency, reset_less=False))
        # A lane's weight and that of all lanes meet in the DSP's pre-adder, one of them 0.
        weight = Signal(signed(8), reset_less=True)
        lane_weights = Signal(8 * n_lanes, reset_less=True)
        with m.If(self.striped):
            m.d.sync += [weight.eq(0), lane_weights.eq(Cat(term.weight for term in terms))]
        with m.Else():
            m.d.sync += [weight.eq(Mux(self.max, 1, self.weight)), lane_weights.eq(0)]
        # What lanes take is chosen by itself, and whether one takes it: a LUT a bit, and a clock enable.
        operands, taken = Signal(8 * n_lanes, reset_less=True), Signal(8 * n_lanes)
        low, high, is_high = Signal(8 * n_lanes), Signal(8 * n_lanes), Signal(n_lanes)
        with m.If(self.striped):
            m.d.comb += [
                low.eq(Cat(term.xs[0] for term in terms)),
                high.eq(Cat(term.xs[1] for term in terms)),
                is_high.eq(Cat(term.upper for term in terms)),
            ]
        with m.Else():
            vector = self.vector.as_value()
            m.d.comb += [low.eq(vector), high.eq(halves_swapped(vector)), is_high.eq(self.swapped.replicate(n_lanes))]
        for lane in range(n_lanes):
            choices = (v.word_select(lane, 8) for v in (high, low))
            m.d.comb += taken.word_select(lane, 8).eq(Mux(is_high[lane], *choices))
        factors = delayed(m, operands, 1)
        with m.If(self.striped | (self.valid & (self.first | ~self.max))):
            m.d.sync += operands.eq(taken)
        with m.Elif(self.valid & ~nothing):
            for lane in range(n_lanes):
                operand = operands.word_select(lane, 8)
                with m.If(taken.word_select(lane, 8).as_signed() > operand.as_signed()):
                    m.d.sync += operand.eq(taken.word_select(lane, 8))
        with m.If(~self.striped & self.valid & self.first & nothing):
            m.d.sync += operands.eq(Const(LOWEST, 8).replicate(n_lanes))
        # What P held is dropped.
        restarts = Mux(self.striped, Cat(term.first for term in terms), (self.first | self.max).replicate(n_lanes))
        restarts = delayed(m, restarts, 3, reset_less=False)  # registers; reset-less they are a LUT each, as SRL16
        shares_done = Mux(self.striped & self.lane_valid, Cat(term.last for term in terms), 0)
        m.d.comb += self.lanes_done.eq(delayed(m, shares_done, self.latency, reset_less=False))
        for lane in range(n_lanes):
            both = Signal(signed(9), reset_less=True)
            product = Signal(signed(17), reset_less=True)
            accumulator = Signal(signed(32), reset_less=True)
            factor, lane_weight = (v.word_select(lane, 8).as_signed() for v in (factors, lane_weights))
            m.d.sync += both.eq(lane_weight + weight)
            with m.If(multiplies):
                m.d.sync += product.eq(both * factor)
            with m.If(accumulates):
                m.d.sync += accumulator.eq(Mux(restarts[lane], 0, accumulator) + product)
            m.d.comb += self.accumulators[lane].eq(accumulator)
        return m
