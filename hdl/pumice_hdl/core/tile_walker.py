"""Tile walker: where the lanes of each tile lie in the output plane."""

from amaranth import Module, Mux, Signal
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
        lanes = range(n_lanes + 1)

        def at_most(value, limit):
            """``value``, or ``limit`` if that is smaller; as wide as a lane count."""
            return Mux(value < limit, value, limit)[: len(Signal(lanes))]

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
        m.d.comb += [
            walking.eq(tiles_left != 0),
            ends_row.eq(row_left <= lanes_left),
            ends_tile.eq(row_left >= lanes_left),
        ]
        with m.If(advance & walking):
            with m.If(ends_row):
                m.d.sync += [x.eq(0), row_left.eq(layer.row_stride), width_left.eq(layer.width), odd_row.eq(~odd_row)]
                with m.If(odd_row):
                    m.d.sync += phase_row.eq(phase_row + layer.phase_stride)
            with m.Else():
                m.d.sync += [
                    x.eq(x + lanes_left),
                    row_left.eq(row_left - lanes_left),
                    width_left.eq(Mux(width_left > lanes_left, width_left - lanes_left, 0)),
                ]
            with m.If(ends_tile):
                m.d.sync += [
                    tiles_left.eq(tiles_left - 1),
                    position.eq(position + n_lanes),
                    valid_left.eq(Mux(valid_left > n_lanes, valid_left - n_lanes, 0)),
                    store_left.eq(Mux(store_left > n_lanes, store_left - n_lanes, 0)),
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
                run_stop.eq(lane + at_most(width_left, lanes_left)),
                n_valid.eq(at_most(valid_left, n_lanes)),
            ]
            with m.If(lane == 0):
                m.d.sync += [
                    tile.position.eq(position),
                    tile.n_store.eq(at_most(store_left, n_lanes)),
                    tile.x.eq(x),
                    tile.odd_row.eq(odd_row),
                    tile.phase_row.eq(phase_row),
                    tile.last.eq(tiles_left == 1),
                ]
        mask = Signal(n_lanes)
        before = lowest_ones(run_start, n_lanes)
        run = lowest_ones(run_stop, n_lanes) & lowest_ones(n_valid, n_lanes)
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
