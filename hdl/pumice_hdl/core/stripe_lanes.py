"""Stripe lanes: what each lane multiplies in a striped layer."""

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

LANE_TERM_LAYOUT = data.StructLayout({"weight": signed(8), "x": signed(8), "first": 1, "last": 1})
"""A lane's own term: ``first`` and ``last`` of the lane's share of a row."""


class StripeLanes(wiring.Component):
    """Each lane keeps its column of the input vector and joins it with its slots (`pumice.spec.descriptor`).

    A byte slot gives a term, with the next value of the column. A pair gives one term in the cycle of its second byte.

    Members
    -------
    vector : In(ArrayLayout(unsigned(8), config.n_lanes))
        From the banks: part ``index`` of the vector, with ``load``, or slots, with ``slot``.
    load, slot : In(1)
        What the vector is; at most one of them. Slots may follow the last part in the next cycle.
    index : In(range(config.stripe_depth))
    first_slot : In(1)
        The slot is the layer's first one.
    pairs : In(1)
        Slots come as pairs.
    row_length : In(range(config.stripe_depth + 1))
        Byte slots of a row; at least 1.
    terms : Out(ArrayLayout(LANE_TERM_LAYOUT, config.n_lanes))
        ``latency`` cycles after the slot that completes them.
    valid, nonzero : Out(1)
        There are terms; one of them has a weight.
    """

    latency = 2

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "vector": In(data.ArrayLayout(unsigned(8), config.n_lanes)),
                "load": In(1),
                "slot": In(1),
                "index": In(range(config.stripe_depth)),
                "first_slot": In(1),
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
        is_second = Signal()
        place = Signal(range(depth + 1))
        row_begins, row_ends = Signal(), Signal()
        completes = Signal()
        m.d.comb += [
            is_second.eq(self.pairs & second & ~self.first_slot),
            row_begins.eq(self.first_slot | (place == 0)),
            row_ends.eq(Mux(self.first_slot, self.row_length == 1, place == self.row_length - 1)),
            completes.eq(self.slot & (~self.pairs | is_second)),
        ]
        with m.If(self.slot):
            m.d.sync += [
                second.eq(~is_second),
                place.eq(Mux(row_ends, 0, Mux(row_begins, 1, place + 1))),
            ]
        complete = Signal()
        m.d.sync += [complete.eq(completes), self.valid.eq(complete)]
        nonzero, any_nonzero = Signal(self.config.n_lanes), Signal()
        m.d.sync += any_nonzero.eq(nonzero.any())

        for lane in range(self.config.n_lanes):
            m.submodules[f"column{lane}"] = column = Memory(
                shape=signed(8), depth=depth, init=[], attrs={"ram_style": "distributed"}
            )
            write, read = column.write_port(), column.read_port(domain="comb")
            byte = self.vector[lane]
            row = Signal(range(depth), name=f"row{lane}", reset_less=True)  # of the term under way
            weight = Signal(signed(8), name=f"weight{lane}", reset_less=True)
            first, last = Signal(name=f"first{lane}"), Signal(name=f"last{lane}")
            begins = Signal(name=f"begins{lane}")  # the next pair is the first of its row
            term = self.terms[lane]
            m.d.comb += [
                write.en.eq(self.load),
                write.addr.eq(self.index),
                write.data.eq(byte),
                read.addr.eq(row),
            ]
            starts = Signal(name=f"starts{lane}")
            m.d.comb += starts.eq(Mux(self.pairs, self.first_slot | begins, row_begins))
            with m.If(self.slot & ~is_second):
                m.d.sync += [
                    row.eq(Mux(starts, 0, row) + Mux(self.pairs, byte[:7], ~starts)),
                    first.eq(starts),
                    last.eq(Mux(self.pairs, byte[7], row_ends)),
                    begins.eq(byte[7]),
                ]
            with m.If(completes):
                m.d.sync += weight.eq(byte)
            m.d.sync += [
                term.x.eq(read.data),
                term.weight.eq(weight),
                term.first.eq(first),
                term.last.eq(last),
            ]
            m.d.comb += nonzero[lane].eq(weight != 0)
        m.d.comb += self.nonzero.eq(self.valid & any_nonzero)
        return m
