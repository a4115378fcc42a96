"""From row results to unaligned vector writes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT, row_result_layout, vector_write_layout


class StoreUnit(wiring.Component):
    """Writes each row result where its layer's store says (`pumice.spec.descriptor`), in order, one write a cycle.

    Linear: one write. Phase store: one split write for each run of lanes in one row of the plane; a run of all lanes
    that starts at an odd column takes a second one for its last lane. No idle cycle between results.

    Members
    -------
    results : In(stream of row_result_layout(config))
        ``tile.valid`` and ``tile.last`` are not used.
    layer : In(LAYER_LAYOUT)
        Back descriptor: ``phase_store, row_stride, phase_stride, phase_vectors, read_offset, write_offset`` are used;
        must hold from the cycle before a result arrives until ``busy`` is 0 again.
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
        phases, row_stride = self.layer.phase_store, self.layer.row_stride
        lanes = range(2 * n_lanes + 1)
        result = self.results.payload
        write = self.writes.payload

        # From run to run lane 0 moves row_stride columns back, floor(half of that) in a plane; and to the planes of
        # odd rows, two pitches behind those of even rows, or back from there and a row down.
        stride = Signal(lanes, reset_less=True)  # more than a vector is like a vector
        pitches = Signal(bits, reset_less=True)
        origin = Signal(bits, reset_less=True)  # of linear positions, which start at read_offset, or of phases
        to_odd_row, to_even_row = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        m.d.sync += [
            stride.eq(Mux(row_stride > n_lanes, n_lanes, row_stride)),
            origin.eq(self.layer.write_offset - Mux(phases, 0, self.layer.read_offset)),
            pitches.eq(2 * n_lanes * self.layer.phase_vectors + n_lanes),
            to_odd_row.eq(pitches - (row_stride >> 1)),
            to_even_row.eq(self.layer.phase_stride - pitches - (row_stride >> 1)),
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
                base.eq(result.out_address + origin + Mux(phases, result.tile.phase_row, result.tile.position)),
                offset.eq(Mux(phases, (result.tile.x >> 1) + Mux(result.tile.odd_row, pitches, 0), 0)),
                to_row_end.eq(row_stride - result.tile.x),
            ]

        # Second stage: one write a cycle, from lane `start` to the end of the run or of what is to be stored. The last
        # lane of a whole vector from an odd column has the bank of the first, and is left over for a second write.
        writing = Signal()
        row = Signal.like(result.data, reset_less=True)
        address = Signal(bits, reset_less=True)
        n_store = Signal.like(result.tile.n_store, reset_less=True)
        start, run_end = Signal(lanes, reset_less=True), Signal(lanes, reset_less=True)
        odd_row, odd_column, leaves_last = (Signal(reset_less=True) for _ in range(3))
        last_run, done = Signal(), Signal()
        m.d.comb += [
            last_run.eq(~phases | (run_end >= n_store)),
            done.eq(self.writes.ready & last_run & ~leaves_last),
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
                odd_column.eq(held.tile.x[0]),
                leaves_last.eq(phases & held.tile.x[0] & (to_row_end >= n_lanes) & (held.tile.n_store == n_lanes)),
            ]
        with m.Elif(self.writes.ready):
            m.d.sync += [writing.eq(writing & ~done), leaves_last.eq(0)]
            with m.If(leaves_last):
                m.d.sync += start.eq(n_lanes - 1)
            with m.Else():
                m.d.sync += [
                    address.eq(address + Mux(odd_row, to_even_row, to_odd_row) - (row_stride[0] & ~odd_column)),
                    odd_row.eq(~odd_row),
                    odd_column.eq(odd_column ^ row_stride[0]),
                    start.eq(run_end),
                    run_end.eq(run_end + stride),
                ]

        m.d.comb += [
            write.data.eq(row),
            write.address.eq(address),
            write.start.eq(start),
            write.stop.eq(Mux(leaves_last, n_lanes - 1, Mux(last_run, n_store, run_end))),
            write.split.eq(phases),
            write.odd.eq(odd_column),
        ]
        return m
