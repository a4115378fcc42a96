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


def share_weights(
    weights: np.ndarray, n_values: int = N_ENTRIES - 1, row_importance: np.ndarray | None = None
) -> np.ndarray:
    """Weights (int8) with each non-zero one moved to the nearest of ``n_values`` values; zeros stay.

    The values are the centres of the best k-means clustering, rounded, never 0: of all that exist those with the least
    sum of squared errors, which in one dimension dynamic programming finds.

    Parameters
    ----------
    weights : ndarray of int8, (rows, ...)
    row_importance : ndarray, (rows,), optional
        Factors of the squared errors of rows whose weights stand for real numbers of different scales.
    """
    factors = np.ones(len(weights)) if row_importance is None else row_importance
    counts = np.zeros(N_VALUES)
    for row, factor in zip(weights, factors, strict=True):
        counts += factor * count_values(row[row != 0])
    values = np.flatnonzero(counts) - N_VALUES // 2
    if len(values) <= n_values:
        return weights.copy()
    centres, errors = _clusters(values.astype(np.float64), counts[values + N_VALUES // 2])
    best = errors[0]  # of the first values, up to each of them, in one cluster
    starts = []
    for _ in range(n_values - 1):
        joined = np.concatenate([[np.inf], best[:-1]])[:, None] + errors  # a last cluster from each value to each
        starts.append(joined.argmin(axis=0))
        best = joined.min(axis=0)
    moved, end = np.zeros(N_VALUES, np.int8), len(values) - 1
    for start in [*(firsts for firsts in reversed(starts)), np.zeros(len(values), np.int64)]:
        first = int(start[end])
        moved[values[first : end + 1] + N_VALUES // 2] = centres[first, end]
        end = first - 1
    return moved[weights.astype(np.int64) + N_VALUES // 2]


def _clusters(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre, and error, of the cluster from each value (first index) to each other; infinite where there is none."""
    sums = [np.concatenate([[0.0], np.cumsum(weights * values**power)]) for power in range(3)]
    total, first, second = (s[None, 1:] - s[:-1, None] for s in sums)
    is_cluster = np.triu(np.ones(total.shape, bool))
    centres = np.rint(np.divide(first, total, out=np.zeros(total.shape), where=is_cluster))
    centres[centres == 0] = 1
    return centres, np.where(is_cluster, second - 2 * centres * first + centres**2 * total, np.inf)
