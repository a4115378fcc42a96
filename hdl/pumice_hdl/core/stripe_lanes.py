"""Stripe lanes: what each lane multiplies in a striped layer."""

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

LANE_TERM_LAYOUT = data.StructLayout(
    {"weight": signed(8), "xs": data.ArrayLayout(signed(8), 2), "upper": 1, "first": 1, "last": 1}
)
"""A lane's own term: a weight and ``xs[upper]``, ``first`` and ``last`` of the lane's share of a row.

The lanes' multiplexers choose among four bytes each, which takes them as many LUTs as three.
"""


class StripeLanes(wiring.Component):
    """Each lane keeps its column of the input vector and joins it with its slots (`pumice.spec.descriptor`).

    A byte slot gives a term, with the next value of the column. A pair gives one term in the cycle of its second byte.

    Members
    -------
    restart : In(1)
        A layer begins: drops all that is under way. Later than the last slot and earlier than the layer's first part.
    vector : In(ArrayLayout(unsigned(8), config.n_lanes))
        From the banks: part ``index`` of the vector, with ``load``, or slots, with ``slot``.
    load, slot : In(1)
        What the vector is; at most one of them. All parts come once, in order; slots may follow in the next cycle.
    index : In(range(config.stripe_depth))
    pairs : In(1)
        Slots come as pairs.
    row_length : In(range(config.stripe_depth + 1))
        Parts of the vector, and byte slots of a row; at least 1.
    terms : Out(ArrayLayout(LANE_TERM_LAYOUT, config.n_lanes))
        ``latency`` cycles after the slot that completes them.
    valid : Out(1)
        There are terms.
    nonzero : Out(1)
        One of the terms a cycle ago had a weight.
    """

    latency = 1

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "restart": In(1),
                "vector": In(data.ArrayLayout(unsigned(8), config.n_lanes)),
                "load": In(1),
                "slot": In(1),
                "index": In(range(config.stripe_depth)),
                "pairs": In(1),
                "row_length": In(range(config.stripe_depth + 1)),
                "terms": Out(data.ArrayLayout(LANE_TERM_LAYOUT, config.n_lanes)),
                "valid": Out(1),
                "nonzero": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self.config.stripe_depth
        # Common to all lanes: which half of a pair it is, and the place in a row of byte slots.
        second = Signal()
        place, last_place = Signal(range(depth + 1)), Signal(range(depth + 1))
        row_ends, begins, completes, loaded = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            row_ends.eq(place == last_place),
            loaded.eq(self.load & (self.index == last_place)),
            begins.eq(self.slot & ~second),
            completes.eq(self.slot & (~self.pairs | second)),
        ]
        with m.If(self.slot):
            m.d.sync += [second.eq(self.pairs & ~second), place.eq(Mux(row_ends, 0, place + 1))]
        with m.If(self.restart):
            m.d.sync += [second.eq(0), place.eq(0)]
        advances = Signal()  # by what the first byte of a pair says, not by one
        m.d.comb += advances.eq(self.pairs & ~self.load)
        nonzero = Signal(self.config.n_lanes)
        m.d.sync += [
            last_place.eq(self.row_length - 1),
            self.valid.eq(completes),
            self.nonzero.eq(self.valid & nonzero.any()),
        ]

        for lane in range(self.config.n_lanes):
            byte, term = self.vector[lane], self.terms[lane]
            # Of the next part; of the pair under way, or of the next byte slot. A reset takes it back: the adder's LUTs
            # are all it needs. A memory that is written where it is read takes two thirds of the LUTs.
            row = Signal(range(depth), name=f"row{lane}", reset_less=True)
            row_done = Signal(name=f"row_done{lane}")
            for half, x in enumerate(term.xs):
                m.submodules[f"column{lane}_{half}"] = column = Memory(
                    shape=signed(8), depth=depth // 2, init=[], attrs={"ram_style": "distributed"}
                )
                write, read = column.write_port(), column.read_port(domain="comb")
                m.d.comb += [
                    write.en.eq(self.load & (self.index[-1] == half)),
                    write.addr.eq(row[:-1]),
                    write.data.eq(byte),
                    read.addr.eq(row[:-1]),
                ]
                with m.If(completes):
                    m.d.sync += x.eq(read.data)
            m.d.comb += [
                row_done.eq(completes & Mux(self.pairs, term.last, row_ends)),
                nonzero[lane].eq(term.weight != 0),
            ]
            with m.If(begins | self.load):
                m.d.sync += row.eq(row + (byte[:7] & advances.replicate(7)) + ~advances)
            with m.If(self.restart | loaded | row_done):
                m.d.sync += row.eq(0)
            with m.If(begins):
                m.d.sync += [term.first.eq(term.last), term.last.eq(Mux(self.pairs, byte[7], row_ends))]
            with m.If(self.restart):  # a row begins
                m.d.sync += term.last.eq(1)
            with m.If(completes):
                m.d.sync += [term.weight.eq(byte), term.upper.eq(row[-1])]
        return m
