"""Dense: every weight, zeros included, up to the row's last non-zero one; no index."""

from dataclasses import dataclass

import numpy as np

from .base import BitReader, IndexReader, Steps, WeightFormat


@dataclass(frozen=True)
class Dense(WeightFormat):
    """A value a position, one position a step."""

    name, code = "dense", 0

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a position."""
        nonzero = np.flatnonzero(row)
        n = nonzero[-1] + 1 if len(nonzero) else 0
        zeros = np.zeros(n, np.int64)
        return Steps(zeros + 1, row[:n].astype(np.int64), np.ones(n, bool), zeros, zeros)

    def reader(self, run: int) -> IndexReader:
        """Reads nothing."""
        return _Reader()


class _Reader(IndexReader):
    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        return 1, True
