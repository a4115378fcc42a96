"""From finished accumulators to row results."""

from amaranth import Cat, EnableInserter, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT, row_context_layout, row_result_layout
from ..pipeline import delayed
from .requantise import Requantiser

DRAIN_CYCLES = 8
"""Cycles that a row occupies the requantisers."""

RESULT_CREDITS = 8
"""Rows that may be between issue and the write bus: at a row each 8 cycles they cover that way with some to spare."""


class Drain(wiring.Component):
    """Requantises a row of accumulators in 8 cycles, ``n_lanes / 8`` lanes a cycle, and queues the results.

    For a layer with ``lane_sum`` each unit's lanes add up while they would go through it; the sum of all takes the
    place of lane 0, and the other lanes of the result are undefined.

    At most `RESULT_CREDITS` rows may be under way or queued: a credit is due before a row is issued and returns with
    ``taken``. A row reaches ``results`` ``latency`` cycles after its ``done``, with ``lane_sum`` ``sum_latency`` later.

    Members
    -------
    accumulators : In(ArrayLayout(signed(32), config.n_lanes))
        Taken in the cycle of ``done``.
    done : In(1)
        A row is complete; at least 8 cycles after the previous one.
    contexts : In(stream of row_context_layout(config))
        Context of the row, there by its ``done``; taken then, with ``lane_sum`` ``sum_latency`` cycles later.
    layer : In(LAYER_LAYOUT)
        Back descriptor: ``lane_sum, zero_point, low, high`` are used and must hold while a row is under way.
    results : Out(stream of row_result_layout(config))
        Rows in order; lanes outside ``tile.valid`` hold the zero point.
    taken : Out(1)
        A result left the queue in this cycle.

    Attributes
    ----------
    latency, sum_latency : int
        Cycles.
    """

    latency = 1 + DRAIN_CYCLES + Requantiser.latency + 1

    def __init__(self, config: EngineConfig):
        self.config = config
        self.sum_latency = DRAIN_CYCLES + config.n_requantisers.bit_length() - 1
        super().__init__(
            {
                "accumulators": In(data.ArrayLayout(signed(32), config.n_lanes)),
                "done": In(1),
                "contexts": In(stream.Signature(row_context_layout(config))),
                "layer": In(LAYER_LAYOUT),
                "results": Out(stream.Signature(row_result_layout(config))),
                "taken": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        context = self.contexts.payload
        result = self.results.payload
        lane_sum = self.layer.lane_sum
        begin = Signal()  # lane 0 enters the requantisers in the next cycle
        m.d.comb += begin.eq(
            Mux(lane_sum, delayed(m, self.done, self.sum_latency, reset_less=False), self.done),
        )

        # What belongs to the row waits for its bytes in a queue of its own.
        place = data.StructLayout({"out_address": context.out_address.shape(), "tile": context.tile.shape()})
        m.submodules.places = places = SyncFIFO(width=place.size, depth=RESULT_CREDITS)
        m.submodules.vectors = vectors = SyncFIFO(width=8 * self.config.n_lanes, depth=RESULT_CREDITS)
        w_place, r_place = data.View(place, places.w_data), data.View(place, places.r_data)
        m.d.comb += [
            self.contexts.ready.eq(begin),
            w_place.out_address.eq(context.out_address),
            w_place.tile.eq(context.tile),
            places.w_en.eq(begin),
            vectors.w_en.eq(delayed(m, begin, self.latency - 1, reset_less=False)),
            self.results.valid.eq(vectors.r_rdy),
            self.taken.eq(self.results.valid & self.results.ready),
            vectors.r_en.eq(self.taken),
            places.r_en.eq(self.taken),
            result.out_address.eq(r_place.out_address),
            result.tile.eq(r_place.tile),
            result.data.eq(vectors.r_data),
        ]

        parameters = {}
        for name in ("bias", "multiplier", "shift"):
            parameters[name] = Signal.like(context[name], name=name, reset_less=True)
            with m.If(begin):
                m.d.sync += parameters[name].eq(context[name])

        # Unit u takes lanes 8 u .. 8 u + 7, the lowest first; its bytes come out in the same order. Lane 0 goes at
        # once, `turn` chooses among the others: registers that both load and shift would take a LUT for each bit.
        turn = Signal(range(DRAIN_CYCLES))
        waiting = Signal.like(self.accumulators, reset_less=True)
        waiting_valid = Signal.like(context.tile.valid, reset_less=True)
        n_units = self.config.n_requantisers
        values = [Signal(signed(32), name=f"value{u}", reset_less=True) for u in range(n_units)]
        valid = Signal(n_units, reset_less=True)
        with m.If(self.done):
            m.d.sync += [waiting.eq(self.accumulators), waiting_valid.eq(context.tile.valid)]
        with m.If(self.done | (turn != 0)):
            m.d.sync += turn.eq(turn + 1)
            with m.Switch(turn):
                for i in range(DRAIN_CYCLES):
                    with m.Case(i):
                        lanes, lanes_valid = (waiting, waiting_valid) if i else (self.accumulators, context.tile.valid)
                        m.d.sync += [value.eq(lanes[8 * u + i]) for u, value in enumerate(values)]
                        m.d.sync += valid.eq(Cat(lanes_valid[8 * u + i] for u in range(n_units)))
        first_lane = delayed(m, self.done, 1)

        # The units' registers hold still when no row is under way.
        busy = Signal()
        cycles_left = Signal(range(self.sum_latency + self.latency + 1))
        m.d.sync += busy.eq(self.done | (cycles_left != 0))
        with m.If(self.done):
            m.d.sync += cycles_left.eq(self.sum_latency + self.latency)
        with m.Elif(cycles_left != 0):
            m.d.sync += cycles_left.eq(cycles_left - 1)
        units, sums = [], []
        for u, value in enumerate(values):
            unit = Requantiser()
            m.submodules[f"requantiser{u}"] = EnableInserter(busy)(unit)
            sums.append(Signal(signed(32), name=f"sum{u}", reset_less=True))
            m.d.sync += sums[u].eq(value + Mux(first_lane, 0, sums[u]))
            units.append(unit)
            m.d.comb += [getattr(unit, n).eq(s) for n, s in parameters.items()]
            m.d.comb += [getattr(unit, n).eq(self.layer[n]) for n in ("zero_point", "low", "high")]
            finished = Signal(64, reset_less=True)
            stored = delayed(m, valid[u] | lane_sum, unit.latency)
            byte = Mux(stored, unit.activation, self.layer.zero_point)
            m.d.sync += finished.eq(Cat(finished[8:], byte))
            m.d.comb += vectors.w_data.word_select(u, 64).eq(finished)
        while len(sums) > 1:
            sums = [delayed(m, (a + b)[:32].as_signed(), 1) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        values[0] = Mux(lane_sum, sums[0], values[0])
        m.d.comb += [unit.accumulator.eq(value) for unit, value in zip(units, values, strict=True)]
        return m
