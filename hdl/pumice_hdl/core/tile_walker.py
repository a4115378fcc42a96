"""Tile walker: where the lanes of each tile lie in the output plane."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT, tile_layout
from ..pipeline import lowest_ones


class TileWalker(wiring.Component):
    """The tiles of a layer in order, then nothing until the next start.

    Walks one *run* a cycle: neighbouring lanes of one row of the plane. A tile takes as many cycles as it touches rows,
    at most ``n_lanes``; the first is valid three cycles after ``start`` if it lies in one row. While a tile waits to
    be taken, the next one is finished behind it.

    Members
    -------
    start : In(1)
        From the next cycle on, earlier tiles are gone.
    layer : In(LAYER_LAYOUT)
        Front descriptor: ``n_tiles, width, row_stride, phase_stride, n_valid, n_store, read_offset`` are used.
        Constant from ``start`` to the last tile.
    tiles : Out(stream of tile_layout(config))
        ``n_tiles`` tiles.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {"start": In(1), "layer": In(LAYER_LAYOUT), "tiles": Out(stream.Signature(tile_layout(config)))}
        )

    def elaborate(self, platform):
        m = Module()
        n_lanes, layer, tiles = self.config.n_lanes, self.layer, self.tiles
        lanes, lane_bits = range(n_lanes + 1), n_lanes.bit_length() - 1

        def lanes_of(value):
            """``value``, or all lanes if those are less."""
            return Mux(value[lane_bits:].any(), n_lanes, value[:lane_bits])

        def without_tile(value):
            """``value`` less all lanes, or nothing if it is less than them."""
            return Mux(value[lane_bits:].any(), value - n_lanes, 0)

        # Walk: lane `lane` of the tile at `position`, and what is left of its row, the plane and the layer.
        advance = Signal()
        tiles_left = Signal(16)
        position = Signal(self.config.address_bits)
        valid_left, store_left = Signal(32), Signal(32)
        lane = Signal(lanes)
        lanes_left = Signal(lanes, init=n_lanes)
        x, row_left, width_left = Signal(16), Signal(16), Signal(16)
        odd_row = Signal()
        phase_row = Signal(self.config.address_bits)
        ends_row, ends_tile, walking = Signal(), Signal(), Signal()
        # Differences are compared by their signs, taken as bits: Yosys makes a carry chain of a comparison with 0.
        row_rest, width_rest, width_ends = Signal(signed(17)), Signal(signed(17)), Signal()
        lanes_rest = Signal(signed(17))
        m.d.comb += [
            row_rest.eq(row_left - lanes_left),
            lanes_rest.eq(lanes_left - row_left),
            width_rest.eq(width_left - lanes_left),
            width_ends.eq(width_rest[-1]),
            walking.eq(tiles_left != 0),
            ends_row.eq(~lanes_rest[-1]),
            ends_tile.eq(~row_rest[-1]),
        ]
        with m.If(advance & walking):
            with m.If(ends_row):
                m.d.sync += [x.eq(0), row_left.eq(layer.row_stride), width_left.eq(layer.width), odd_row.eq(~odd_row)]
                with m.If(odd_row):
                    m.d.sync += phase_row.eq(phase_row + layer.phase_stride)
            with m.Else():
                m.d.sync += [
                    x.eq(x + lanes_left),
                    row_left.eq(row_rest),
                    width_left.eq(Mux(width_ends, 0, width_rest)),
                ]
            with m.If(ends_tile):
                m.d.sync += [
                    tiles_left.eq(tiles_left - 1),
                    position.eq(position + n_lanes),
                    valid_left.eq(without_tile(valid_left)),
                    store_left.eq(without_tile(store_left)),
                    lane.eq(0),
                    lanes_left.eq(n_lanes),
                ]
            with m.Else():
                m.d.sync += [lane.eq(lane + row_left), lanes_left.eq(lanes_left - row_left)]

        # Build: lanes of the run are added to the tile.
        run_valid, run_ends_tile = Signal(), Signal()
        run_start, run_stop, n_valid = Signal(lanes), Signal(lanes), Signal(lanes)
        tile = Signal(tile_layout(self.config))
        with m.If(advance):
            m.d.sync += [
                run_valid.eq(walking),
                run_ends_tile.eq(ends_tile),
                run_start.eq(lane),
                run_stop.eq(lane + Mux(width_ends, width_left, lanes_left)),
                n_valid.eq(lanes_of(valid_left)),
            ]
            with m.If(lane == 0):
                m.d.sync += [
                    tile.position.eq(position),
                    tile.n_store.eq(lanes_of(store_left)),
                    tile.x.eq(x),
                    tile.odd_row.eq(odd_row),
                    tile.phase_row.eq(phase_row),
                    tile.last.eq(tiles_left == 1),
                ]
        mask = Signal(n_lanes)
        before = lowest_ones(run_start, n_lanes)
        run = lowest_ones(Mux(run_stop < n_valid, run_stop, n_valid), n_lanes)
        m.d.comb += mask.eq((tile.valid & before) | (run & ~before))
        with m.If(run_valid & advance):
            m.d.sync += tile.valid.eq(mask)

        # A finished tile waits for its place in the output.
        m.d.comb += advance.eq(~(run_valid & run_ends_tile) | ~tiles.valid | tiles.ready)
        with m.If(tiles.ready):
            m.d.sync += tiles.valid.eq(0)
        with m.If(run_valid & run_ends_tile & advance):
            m.d.sync += [tiles.valid.eq(1), tiles.payload.eq(tile), tiles.payload.valid.eq(mask)]

        with m.If(self.start):
            m.d.sync += [
                tiles.valid.eq(0),
                run_valid.eq(0),
                tiles_left.eq(layer.n_tiles),
                position.eq(layer.read_offset),
                valid_left.eq(layer.n_valid),
                store_left.eq(layer.n_store),
                lane.eq(0),
                lanes_left.eq(n_lanes),
                x.eq(0),
                row_left.eq(layer.row_stride),
                width_left.eq(layer.width),
                odd_row.eq(0),
                phase_row.eq(0),
            ]
        return m
