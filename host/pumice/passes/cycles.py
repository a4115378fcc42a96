"""How many cycles a layer takes, by formula; every constant of the engine's timing is here."""

from typing import TYPE_CHECKING

import numpy as np

from ..planes import Planes
from ..spec.config import EngineConfig
from .operation import Operation

if TYPE_CHECKING:
    from .weights import LayerPass

MIN_ROW_CYCLES = 8
"""A row takes the cycles of its steps, and at least these (the drain of the row before it)."""

ALIGN_CYCLES = 1
"""Between tiles; one more where the stream does not end with a whole word."""
FETCH_CYCLES = 15
"""From a layer's start to its first step, besides reading the tap table."""
DRAIN_CYCLES = 48
"""From a layer's last step to its completion."""
OVERLAP_CYCLES = 38
"""Of these, how many the next layer uses to fetch."""
GO_CYCLES = 2
"""From a layer's completion to the first step of a layer that has fetched."""
PASS_CYCLES = GO_CYCLES + DRAIN_CYCLES
"""What each part of a layer that is cut into passes takes besides its steps."""


def predict_cycles(layer_pass: "LayerPass", output: Planes, config: EngineConfig, *, is_first: bool) -> int:
    """Cycles from the previous layer's completion (or the first layer's start) to this one's, with weights in place."""
    operation, n_tap_words = layer_pass.layer.operation, layer_pass.layer.n_tap_words
    n_tiles = count_tiles(operation, output, config)
    n_writes = writes_of_row(operation, output, config)
    issue = 0
    for rows in layer_pass.cores:
        align = ALIGN_CYCLES + (sum(row.n_bits for row in rows) % 64 != 0)
        issue = max(issue, n_tiles * sum(row.n_cycles for row in rows) + (n_tiles - 1) * align)
    write = n_writes * sum(len(rows) for rows in layer_pass.cores)
    fetch = FETCH_CYCLES + n_tap_words
    start = fetch if is_first else max(GO_CYCLES, fetch - OVERLAP_CYCLES)
    return start + max(issue, write) + DRAIN_CYCLES


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
