"""Codebook: 4 bits that choose one of 16 values, for layers whose weights are shared.

The table is the 16 values as bytes. Coding is lossless; `share_weights` brings weights to 16 values beforehand.
"""

import numpy as np

from ..formats import BitReader
from .base import N_VALUES, ValueCoding, count_values

CODE_BITS = 4
N_ENTRIES = 1 << CODE_BITS


class Codebook(ValueCoding):
    """At most 16 different values."""

    name, number = "codebook", 1

    def __init__(self, entries: np.ndarray):
        self.entries = np.zeros(N_ENTRIES, np.int8)
        self.entries[: len(entries)] = entries
        self.codes, self.lengths = np.zeros(N_VALUES, np.int64), np.zeros(N_VALUES, np.int64)
        # Entries beyond the last value repeat 0, whose lowest code is the one to use.
        for code in reversed(range(N_ENTRIES)):
            self.codes[int(self.entries[code]) + N_VALUES // 2] = code
            self.lengths[int(self.entries[code]) + N_VALUES // 2] = CODE_BITS
        self.table = self.entries.tobytes()

    @classmethod
    def fit(cls, counts: np.ndarray) -> "Codebook | None":
        """The values that occur, ascending."""
        values = np.flatnonzero(counts) - N_VALUES // 2
        return cls(values.astype(np.int8)) if len(values) <= N_ENTRIES else None

    @classmethod
    def from_table(cls, table: bytes) -> "Codebook":
        """The entries as they stand."""
        return cls(np.frombuffer(table, np.int8, N_ENTRIES))

    def read(self, bits: BitReader) -> int:
        """Take a code."""
        return int(self.entries[bits.take(CODE_BITS)])


def share_weights(weights: np.ndarray, n_values: int = N_ENTRIES - 1, n_rounds: int = 30) -> np.ndarray:
    """Weights (int8) with each non-zero one moved to the nearest of ``n_values`` values; zeros stay.

    The values are the centres of a k-means clustering (Lloyd's rounds from the distribution's quantiles), never 0.
    """
    counts = count_values(weights[weights != 0])
    values = np.flatnonzero(counts) - N_VALUES // 2
    if len(values) <= n_values:
        return weights.copy()
    occurrences = counts[values + N_VALUES // 2]
    shares = (np.cumsum(occurrences) - occurrences / 2) / occurrences.sum()
    centres = np.interp((np.arange(n_values) + 0.5) / n_values, shares, values)
    for _ in range(n_rounds):
        nearest = np.abs(values[:, None] - centres).argmin(axis=1)
        sizes = np.bincount(nearest, occurrences, n_values)
        sums = np.bincount(nearest, occurrences * values, n_values)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
    rounded = np.rint(centres).astype(np.int8)
    rounded[rounded == 0] = 1
    moved = np.zeros(N_VALUES, np.int8)
    moved[values + N_VALUES // 2] = rounded[np.abs(values[:, None] - centres).argmin(axis=1)]
    return moved[weights.astype(np.int64) + N_VALUES // 2]
