"""How many cycles a layer takes, by formula; every constant of the engine's timing is here."""

from ..planes import Planes
from ..spec.config import EngineConfig
from .weights import LayerPass

LAYER_CYCLES = 60
"""Start of a layer that follows another, and the end of its pipeline."""
TILE_CYCLES = 1
"""Realignment of the stream from tile to tile."""


def predict_cycles(layer_pass: LayerPass, n_tiles: int) -> int:
    """Cycles from the previous layer's completion to this one's, with its weights in place."""
    row_cycles = max(sum(row.n_cycles for row in core) for core in layer_pass.cores)
    return n_tiles * (row_cycles + TILE_CYCLES) + LAYER_CYCLES


def n_stored(output: Planes) -> int:
    """Flattened positions that a layer writes: whole phase planes, or no further than the last value of linear ones."""
    return output.n_phases * output.plane_bytes


def count_tiles(output: Planes, config: EngineConfig) -> int:
    """Tiles of ``n_lanes`` that cover the positions that are written."""
    return -(-n_stored(output) // config.n_lanes)
