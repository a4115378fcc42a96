"""Payloads that travel between components, derived from `pumice.spec.descriptor`."""

from amaranth import signed, unsigned
from amaranth.lib import data
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import LAYER, ROW, Packed


def packed_layout(structure: Packed) -> data.StructLayout:
    """The fields of a `Packed` structure as a struct of their own widths (not their places in words)."""
    return data.StructLayout({f.name: signed(f.bits) if f.signed else unsigned(f.bits) for f in structure.fields})


def word_layout(structure: Packed) -> data.FlexibleLayout:
    """A `Packed` structure as it lies in its words, lowest word first."""
    fields = {
        f.name: data.Field(signed(f.bits) if f.signed else unsigned(f.bits), f.word * structure.word_bits + f.lsb)
        for f in structure.fields
    }
    return data.FlexibleLayout(structure.n_words * structure.word_bits, fields)


LAYER_LAYOUT = packed_layout(LAYER)
"""Layer descriptor as the engine holds it."""

ROW_LAYOUT = word_layout(ROW)
"""Row header: two weight-memory words."""

STEP_LAYOUT = data.StructLayout({"advance": 6, "absolute": 1, "index": 16})
"""A decoder step: ``advance``, stored minus one (0..63 for 1..64 positions), or if ``absolute`` the place ``index``,
tap and channel (`pumice.spec.formats.csr`)."""

TERM_LAYOUT = data.StructLayout({"step": STEP_LAYOUT, "first": 1, "last": 1})
"""A step on its way to the lanes; ``first`` and ``last`` of its row."""

ROW_LENGTH_LAYOUT = data.StructLayout({name: ROW_LAYOUT[name].shape for name in ("n_steps", "last")})
"""What is decoded of a row, from its header."""

TABLE_WORD_LAYOUT = data.StructLayout({"index": 8, "word": 64})
"""A word of a segment's value table."""


def tap_pair_layout(config: EngineConfig) -> data.StructLayout:
    """Two neighbouring entries of the tap table: number ``2 * pair`` and ``2 * pair + 1``; byte offsets that wrap."""
    return data.StructLayout(
        {
            "pair": range((config.max_taps + 1) // 2),
            "offsets": data.ArrayLayout(unsigned(config.address_bits), 2),
        }
    )


def tile_layout(config: EngineConfig) -> data.StructLayout:
    """What the tile walker says of one tile of ``n_lanes`` output positions.

    ``position``: flattened position of lane 0, counted from the layer's ``read_offset``. ``n_store``: lanes to write
    (1..n_lanes, lanes 0 .. n_store - 1).
    ``valid``: one bit a lane; lanes that are written but not valid carry the zero point.
    ``x``: column of lane 0 (0 .. row_stride - 1). ``odd_row``: parity of lane 0's row.
    ``phase_row``: ``(y >> 1) * phase_stride`` of lane 0, the row's offset in its phase plane.
    ``last``: the layer's last tile.
    """
    bits = config.address_bits
    return data.StructLayout(
        {
            "position": bits,
            "n_store": range(config.n_lanes + 1),
            "valid": config.n_lanes,
            "x": 16,
            "odd_row": 1,
            "phase_row": bits,
            "last": 1,
        }
    )


def row_context_layout(config: EngineConfig) -> data.StructLayout:
    """What follows a row from issue to the write bus: requantise parameters and its tile."""
    return data.StructLayout(
        {
            "bias": signed(32),
            "multiplier": 31,
            "shift": 5,
            "out_address": config.address_bits,
            "tile": tile_layout(config),
        }
    )


def row_result_layout(config: EngineConfig) -> data.StructLayout:
    """One finished row of one tile: a vector of int8 results (lane 0 lowest), where it goes and its tile."""
    return data.StructLayout(
        {
            "data": data.ArrayLayout(unsigned(8), config.n_lanes),
            "out_address": config.address_bits,
            "tile": tile_layout(config),
        }
    )


def vector_write_layout(config: EngineConfig) -> data.StructLayout:
    """An unaligned write of part of a vector to activation memory; addresses wrap at the memory's size.

    Lane ``i`` with ``start <= i < stop`` goes to byte ``address + i``, other lanes are not written. With ``split``,
    lane ``i`` is column ``c = i + odd`` and goes to ``address + (c >> 1)`` or, if ``c`` is odd, the layer's phase pitch
    behind that; lanes 0 and ``n_lanes - 1`` are not both written when ``odd`` is set, as they share a bank.
    """
    return data.StructLayout(
        {
            "data": data.ArrayLayout(unsigned(8), config.n_lanes),
            "address": config.address_bits,
            "start": range(config.n_lanes + 1),
            "stop": range(config.n_lanes + 1),
            "split": 1,
            "odd": 1,
        }
    )


def bank_write_layout(config: EngineConfig) -> data.StructLayout:
    """A write after rotation, the same for the banks of every core.

    Bank ``b`` writes ``data[b]`` in its row ``rows[b]`` if bit ``b`` of ``enable`` is set.
    """
    row_bits = config.address_bits - (config.n_lanes.bit_length() - 1)
    return data.StructLayout(
        {
            "data": data.ArrayLayout(unsigned(8), config.n_lanes),
            "enable": config.n_lanes,
            "rows": data.ArrayLayout(unsigned(row_bits), config.n_lanes),
        }
    )
