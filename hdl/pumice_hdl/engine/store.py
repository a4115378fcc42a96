"""From row results to unaligned vector writes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT, row_result_layout, vector_write_layout


class StoreUnit(wiring.Component):
    """Writes each row result where its layer's store says (`pumice.spec.descriptor`), in order, one write a cycle.

    Linear: one write. Phase store: for each run of lanes in one row of the plane two writes, even columns first; the
    second one is empty (``start == stop``) when the run has a single lane. No idle cycle between results.

    Members
    -------
    results : In(stream of row_result_layout(config))
        ``tile.x`` is even for phase store; ``tile.valid`` and ``tile.last`` are not used.
    layer : In(LAYER_LAYOUT)
        Back descriptor: ``phase_store``, ``row_stride`` (even, at least 2, for phase store) and ``phase_pitch`` are
        used; must hold from the cycle before a result arrives until ``busy`` is 0 again.
    writes : Out(stream of vector_write_layout(config))
        The first one ``latency`` cycles after its result when not stalled.
    busy : Out(1)
        A result was taken whose last write was not.

    Attributes
    ----------
    latency : int
        Cycles.
    """

    latency = 2

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "results": In(stream.Signature(row_result_layout(config))),
                "layer": In(LAYER_LAYOUT),
                "writes": Out(stream.Signature(vector_write_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        n_lanes, bits = self.config.n_lanes, self.config.address_bits
        phases = self.layer.phase_store
        pitch = self.layer.phase_pitch[:bits]
        lanes = range(2 * n_lanes + 1)
        result = self.results.payload
        write = self.writes.payload

        # Seen from lane i = 0 of a row, a run in the next row starts row_stride columns further back: with every run
        # only the plane and, after an odd row, the row in the planes changes.
        stride = Signal(lanes, reset_less=True)  # more than a vector is like a vector
        to_odd_row = Signal(bits, reset_less=True)
        to_even_row = Signal(bits, reset_less=True)
        half_stride = self.layer.row_stride >> 1
        m.d.sync += [
            stride.eq(Mux(self.layer.row_stride > n_lanes, n_lanes, self.layer.row_stride)),
            to_odd_row.eq(pitch - half_stride),
            to_even_row.eq(-3 * pitch),
        ]

        # First stage: the sums that a result's first write needs.
        prepared, load = Signal(), Signal()
        base, offset = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        to_row_end = Signal(16, reset_less=True)
        held = Signal.like(result, reset_less=True)
        m.d.comb += self.results.ready.eq(~prepared | load)
        with m.If(self.results.ready):
            m.d.sync += [
                prepared.eq(self.results.valid),
                held.eq(result),
                base.eq(result.out_address + Mux(phases, result.tile.phase_row, result.tile.position)),
                offset.eq(Mux(phases, (result.tile.x >> 1) + Mux(result.tile.odd_row, pitch << 1, 0), 0)),
                to_row_end.eq(self.layer.row_stride - result.tile.x),
            ]

        # Second stage: one write a cycle, from lane `start` to the end of the run or of what is to be stored.
        writing = Signal()
        row = Signal.like(result.data, reset_less=True)
        address = Signal(bits, reset_less=True)
        n_store = Signal.like(result.tile.n_store, reset_less=True)
        start, run_end = Signal(lanes, reset_less=True), Signal(lanes, reset_less=True)
        odd_row, odd_column = Signal(reset_less=True), Signal(reset_less=True)
        last_run, stop, done = Signal(), Signal.like(n_store), Signal()
        m.d.comb += [
            last_run.eq(~phases | (run_end >= n_store)),
            stop.eq(Mux(last_run, n_store, run_end)),
            done.eq(self.writes.ready & last_run & (odd_column | ~phases)),
            load.eq(prepared & (~writing | done)),
            self.writes.valid.eq(writing),
            self.busy.eq(prepared | writing),
        ]
        with m.If(load):
            m.d.sync += [
                writing.eq(1),
                row.eq(held.data),
                address.eq(base + offset),
                n_store.eq(held.tile.n_store),
                start.eq(0),
                run_end.eq(Mux(to_row_end > n_lanes, n_lanes, to_row_end)),
                odd_row.eq(held.tile.odd_row),
                odd_column.eq(0),
            ]
        with m.Elif(self.writes.ready):
            m.d.sync += [
                writing.eq(writing & ~done),
                odd_column.eq(~odd_column),
                address.eq(address + Mux(odd_column, Mux(odd_row, to_even_row, to_odd_row), pitch)),
            ]
            with m.If(odd_column):
                m.d.sync += [odd_row.eq(~odd_row), start.eq(run_end), run_end.eq(run_end + stride)]

        m.d.comb += [write.address.eq(address), write.data.eq(row)]
        with m.If(phases):
            m.d.comb += [
                write.start.eq(start >> 1),
                write.stop.eq((stop + ~odd_column) >> 1),
                *(write.data[i].eq(Mux(odd_column, row[2 * i + 1], row[2 * i])) for i in range(n_lanes // 2)),
            ]
        with m.Else():
            m.d.comb += [write.start.eq(0), write.stop.eq(n_store)]
        return m
