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

LAYER_CYCLES = 60
"""Start of a layer that follows another, and the end of its pipeline."""
TILE_CYCLES = 1
"""Realignment of the stream from tile to tile."""


def predict_cycles(layer_pass: "LayerPass", n_tiles: int) -> int:
    """Cycles from the previous layer's completion to this one's, with its weights in place."""
    row_cycles = max(sum(row.n_cycles for row in core) for core in layer_pass.cores)
    return n_tiles * (row_cycles + TILE_CYCLES) + LAYER_CYCLES


def n_stored(operation: Operation, output: Planes) -> int:
    """Flattened positions that a row of an operation's row table writes."""
    if operation.scattered:
        return 1
    return output.row_stride if operation.row_by_row else output.n_phases * output.plane_bytes


def count_tiles(operation: Operation, output: Planes, config: EngineConfig) -> int:
    """Tiles of ``n_lanes`` that cover the positions that are written."""
    return -(-n_stored(operation, output) // config.n_lanes)


def estimate_cycles(operation: Operation, output: Planes, config: EngineConfig) -> int:
    """Cycles in a format without fillers, on cores that end together: for choices made before rows are encoded."""
    height, width, _ = output.shape
    n_repeats = height * width if operation.scattered else height if operation.row_by_row else 1
    steps = int(np.maximum(operation.n_terms, MIN_ROW_CYCLES).sum()) * n_repeats
    return count_tiles(operation, output, config) * -(-steps // config.n_cores)
