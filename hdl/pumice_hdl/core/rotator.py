"""Rotation of a vector by a variable number of lanes."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..pipeline import delayed


class Rotator(wiring.Component):
    """Rotates towards lane 0: ``rotated[i] = vector[(i + amount) % n_lanes]``, one vector a cycle.

    Amount ``(-k) % n_lanes`` rotates by ``k`` the other way. One level of 4:1 multiplexers (6-input LUTs) for each two
    bits of the amount, 2:1 for an odd one left, and a register behind each level.

    Parameters
    ----------
    n_lanes : int
        Elements of the vector, a power of two, at least 2.
    lane_bits : int
        Bits of an element.
    n_amounts : int, optional
        Amounts are below this power of two, at least 2; default ``n_lanes``.

    Members
    -------
    vector : In(ArrayLayout(unsigned(lane_bits), n_lanes))
    amount : In(range(n_amounts))
        Belongs to the vector of the same cycle.
    rotated : Out(ArrayLayout(unsigned(lane_bits), n_lanes))
        ``latency`` cycles after its vector.

    Attributes
    ----------
    latency : int
        Cycles, ``ceil(log2(n_amounts) / 2)``.
    """

    def __init__(self, n_lanes: int, lane_bits: int = 8, n_amounts: int | None = None):
        self.n_lanes = n_lanes
        n_amounts = n_amounts or n_lanes
        self.latency = n_amounts.bit_length() // 2
        vector = data.ArrayLayout(unsigned(lane_bits), n_lanes)
        super().__init__({"vector": In(vector), "amount": In(range(n_amounts)), "rotated": Out(vector)})

    def elaborate(self, platform):
        m = Module()
        vector, amount = self.vector.as_value(), self.amount
        lane_bits = len(vector) // self.n_lanes
        for low in range(0, len(self.amount), 2):
            level = Signal.like(vector, reset_less=True)
            # Whole vectors, not their elements: a simulator copies words. Steps are told apart by themselves: from a
            # switch, 2:1 multiplexers of single bits of the amount are made, two LUTs where one will do.
            m.d.sync += level.eq(vector)
            for step in range(1, 1 << len(amount[:2])):
                with m.If(amount[:2] == step):
                    m.d.sync += level.eq(vector.rotate_right(lane_bits * step << low))
            vector = level
            if len(amount) > 2:
                amount = delayed(m, amount[2:], 1)
        m.d.comb += self.rotated.eq(vector)
        return m
