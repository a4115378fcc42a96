"""How many cycles a layer takes, by formula; every constant of the engine's timing is here."""

from typing import TYPE_CHECKING

import numpy as np

from ..planes import Planes
from ..spec.config import WEIGHT_WORD_BITS, EngineConfig
from .operation import Operation

if TYPE_CHECKING:
    from .encode import EncodedLayer, EncodedRow
    from .weights import LayerPass

MIN_ROW_CYCLES = 8
"""A row takes the cycles of its steps, and at least these (the drain of the row before it)."""

ALIGN_CYCLES = 1
"""Between tiles; one more where a stream does not end with a whole word."""
FETCH_CYCLES = 19
"""From a layer's start to its first step, besides reading the tables."""
DRAIN_CYCLES = 48
"""From a layer's last step to its completion."""
WRITE_CYCLES = 7
"""From a layer's start to its first gap write, and from its last write to its completion."""
OVERLAP_CYCLES = 38
"""Of `DRAIN_CYCLES`, how many the next layer uses to fetch."""


HEADER_CYCLES = 2
"""To fetch a row's header: the least that a row of a striped layer takes."""
STRIPED_CYCLES = 28
"""Of a striped layer besides its reads and what grows with lanes and cores: banks, lanes, requantiser, store."""
FIRST_STRIPED_CYCLES = 10
"""More in a run's first layer: the preamble."""


def predict_cycles(layer_pass: "LayerPass", output: Planes, config: EngineConfig, *, is_first: bool) -> int:
    """Cycles from the previous layer's completion (or the first layer's start) to this one's, with weights in place.

    Cores issue, results and gaps share the write bus: the longer of the two counts.
    """
    operation = layer_pass.layer.operation
    if layer_pass.slots:
        reads = max(
            predict_striped(layer_pass.n_vectors, len(slots) // config.n_lanes, len(rows))
            for slots, rows in zip(layer_pass.slots, layer_pass.cores, strict=True)
        )
        # The adder tree, the rotators of banks and write bus, and the cores' last results, which take turns.
        tree = config.n_lanes.bit_length() - 1
        last = STRIPED_CYCLES + tree + 2 * -(-tree // 2) + config.n_cores - 1
        return reads + last + FIRST_STRIPED_CYCLES * is_first
    n_tiles = count_tiles(operation, output, config)
    issue = max(_issue_cycles(rows, n_tiles) for rows in layer_pass.cores)
    n_rows = sum(len(rows) for rows in layer_pass.cores)
    n_gaps = (1 + len(output.channels) * output.n_phases) * (layer_pass.part == 0)
    gaps = n_gaps * -(-output.gap_bytes // config.n_lanes) + WRITE_CYCLES  # while no result is there yet
    write = n_rows * writes_of_row(operation, output, config) + max(gaps, MIN_ROW_CYCLES + DRAIN_CYCLES)
    fetch = FETCH_CYCLES + layer_pass.layer.n_table_words
    start = fetch if is_first else max(0, fetch - OVERLAP_CYCLES)
    # Units add up 8 lanes each, and a tree their sums.
    lane_sum = operation.lane_sum * (MIN_ROW_CYCLES + config.n_requantisers.bit_length() - 1)
    return start + max(issue + lane_sum + DRAIN_CYCLES, write)


def predict_striped(n_vectors: int, n_slots: int, n_rows: int) -> int:
    """Cycles from a core's first read for a striped layer to its last row sum."""
    return n_vectors + max(n_slots, HEADER_CYCLES * n_rows)


def predict_issue(layer: "EncodedLayer", config: EngineConfig) -> int:
    """About the cycles of a layer's steps in one tile, were it not striped."""
    return sum(row.n_cycles for row in layer.rows) // config.n_cores


def _issue_cycles(rows: "list[EncodedRow]", n_tiles: int) -> int:
    """From a core's first step to its last, all tiles."""
    if not rows:
        return 0
    streams = zip(*((row.indices.n_bits, row.values.n_bits) for row in rows), strict=True)
    align = ALIGN_CYCLES + any(sum(n_bits) % WEIGHT_WORD_BITS for n_bits in streams)
    first, *others = (max(1, row.n_steps) for row in rows)
    tile = sum(max(MIN_ROW_CYCLES, n) for n in others)
    return first + tile + (n_tiles - 1) * (max(MIN_ROW_CYCLES, first + align) + tile)


def n_stored(operation: Operation, output: Planes) -> int:
    """Flattened positions that a row of an operation's row table writes: whole rows of phase planes."""
    if operation.scattered:
        return 1
    if output.phases == (1, 1):
        return output.plane_bytes
    return -(-output.shape[0] // output.phases[0]) * output.phases[0] * operation.row_stride


def count_tiles(operation: Operation, output: Planes, config: EngineConfig) -> int:
    """Tiles of ``n_lanes`` that cover the positions that are written."""
    return -(-n_stored(operation, output) // config.n_lanes)


def writes_of_row(operation: Operation, output: Planes, config: EngineConfig) -> int:
    """Writes of a row's results in all tiles: with phase store one for each run of lanes in a row of the plane, and one
    for the last lane of a whole vector from an odd column.
    """
    first = np.arange(0, n_stored(operation, output), config.n_lanes)
    if output.phases == (1, 1):
        return len(first)
    last = np.minimum(first + config.n_lanes, n_stored(operation, output)) - 1
    n_runs = last // operation.row_stride - first // operation.row_stride + 1
    is_cut = (n_runs == 1) & (last - first == config.n_lanes - 1) & (first % operation.row_stride % 2 == 1)
    return int((n_runs + is_cut).sum())
