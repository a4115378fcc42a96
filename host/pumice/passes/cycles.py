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
"""Between tiles; one more where a stream does not end with a whole word and no row is short, for in short rows the
decoders get ahead of the issue."""
FETCH_CYCLES = 20
"""From a layer's start to its first step, besides reading the tables."""
DRAIN_CYCLES = 48
"""From a layer's last step to its completion."""
WRITE_CYCLES = 7
"""From a layer's start to its first gap write, and from its last write to its completion."""
OVERLAP_CYCLES = 37
"""Of `DRAIN_CYCLES`, how many the next layer uses to fetch."""

BAND_CYCLES = 80
"""What a band takes beyond its steps."""
MEMORY_WORDS_PER_CYCLE = 0.9
"""What the memory delivers and takes; with `MEMORY_LATENCY` that of the simulated board."""
MEMORY_LATENCY = 40
RUN_CYCLES = 6
"""Between runs of a transfer."""
SHORT_RUN_CYCLES = 26
"""A run takes at least these: two of a transfer are under way at a time."""

HEADER_CYCLES = 2
"""To fetch a row's header: the least that a row of a striped layer takes."""
HEADERS_AHEAD_CYCLES = 18
"""For which headers of a striped layer are fetched before its first row is summed up."""
STRIPED_CYCLES = 27
"""Of a striped layer besides its reads and what grows with lanes and cores: banks, lanes, requantiser, store."""
FIRST_STRIPED_CYCLES = 10
"""More in a run's first layer: the preamble."""


def transfer_cycles(n_runs: int, n_bytes: int) -> int:
    """Cycles of a transfer of ``n_runs`` runs of ``n_bytes`` bytes of any alignment."""
    run = (n_bytes // 8 + 1) / MEMORY_WORDS_PER_CYCLE + RUN_CYCLES
    return round(n_runs * max(run, SHORT_RUN_CYCLES) + MEMORY_LATENCY)


def predict_cycles(
    layer_pass: "LayerPass", phases: tuple[int, int], n_store: int, n_gap_writes: int, config: EngineConfig, *, is_first
) -> int:
    """Cycles from the previous layer's completion (or the first layer's start) to this one's, all it reads in place.

    Cores issue, results and gaps share the write bus: the longer of the two counts.

    Parameters
    ----------
    phases : tuple of int
        Of the output.
    n_store : int
        Flattened positions that each row of the row table writes.
    n_gap_writes : int
        Vectors that the gap filler writes.
    is_first : bool
        No layer runs before it.
    """
    operation = layer_pass.layer.operation
    if layer_pass.slots:
        reads = max(
            predict_striped(layer_pass.n_vectors, len(slots) // config.n_lanes, len(rows))
            for slots, rows in zip(layer_pass.slots, layer_pass.cores, strict=True)
        )
        return reads + striped_rest(config) + FIRST_STRIPED_CYCLES * is_first
    n_tiles = count_tiles(n_store, config)
    issue = max(_issue_cycles(rows, n_tiles) for rows in layer_pass.cores)
    n_rows = sum(len(rows) for rows in layer_pass.cores)
    gaps = n_gap_writes + WRITE_CYCLES  # while no result is there yet
    write = n_rows * writes_of_row(operation, phases, n_store, config) + max(gaps, MIN_ROW_CYCLES + DRAIN_CYCLES)
    fetch = FETCH_CYCLES + layer_pass.layer.n_table_words
    start = fetch if is_first else max(0, fetch - OVERLAP_CYCLES)
    # Units add up 8 lanes each, and a tree their sums.
    lane_sum = operation.lane_sum * (MIN_ROW_CYCLES + config.n_requantisers.bit_length() - 1)
    return start + max(issue + lane_sum + DRAIN_CYCLES, write)


def predict_striped(n_vectors: int, n_slots: int, n_rows: int) -> int:
    """Cycles from a core's first read for a striped layer to its last row sum."""
    return n_vectors + max(n_slots, HEADER_CYCLES * n_rows - HEADERS_AHEAD_CYCLES)


def striped_rest(config: EngineConfig) -> int:
    """Cycles of a striped layer from its last row sum to the next layer."""
    # The adder tree, the write bus's rotator, and the cores' last results, which take turns.
    tree = config.n_lanes.bit_length() - 1
    return STRIPED_CYCLES + tree + -(-tree // 2) + config.n_cores - 1


def predict_issue(layer: "EncodedLayer", config: EngineConfig) -> int:
    """About the cycles of a layer's steps in one tile, were it not striped."""
    return sum(row.n_cycles for row in layer.rows) // config.n_cores


def _issue_cycles(rows: "list[EncodedRow]", n_tiles: int) -> int:
    """From a core's first step to its last, all tiles."""
    if not rows:
        return 0
    streams = zip(*((row.indices.n_bits, row.values.n_bits) for row in rows), strict=True)
    is_cut = any(sum(n_bits) % WEIGHT_WORD_BITS for n_bits in streams)
    align = ALIGN_CYCLES + (is_cut and all(row.n_steps >= MIN_ROW_CYCLES for row in rows))
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


def count_tiles(n_store: int, config: EngineConfig) -> int:
    """Tiles of ``n_lanes`` that cover ``n_store`` positions."""
    return -(-n_store // config.n_lanes)


def writes_of_row(operation: Operation, phases: tuple[int, int], n_store: int, config: EngineConfig) -> int:
    """Writes of a row's results in all tiles: with phase store one for each run of lanes in a row of the plane, and one
    for the last lane of a whole vector from an odd column.
    """
    first = np.arange(0, n_store, config.n_lanes)
    if phases == (1, 1):
        return len(first)
    last = np.minimum(first + config.n_lanes, n_store) - 1
    n_runs = last // operation.row_stride - first // operation.row_stride + 1
    is_cut = (n_runs == 1) & (last - first == config.n_lanes - 1) & (first % operation.row_stride % 2 == 1)
    return int((n_runs + is_cut).sum())
