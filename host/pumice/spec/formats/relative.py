"""Relative index: 4-bit gap each step, as in EIE; longer gaps take filler steps with a value of 0."""

from dataclasses import dataclass

import numpy as np

from .base import BitReader, IndexReader, Steps, WeightFormat, distances, fill_gaps, values_at

GAP_BITS = 4


@dataclass(frozen=True)
class Relative(WeightFormat):
    """Gap (advance - 1)."""

    name, code = "relative", 2

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a non-zero, and one filler each ``min(16, run)`` positions of a longer gap."""
        longest = min(1 << GAP_BITS, run)
        places = np.flatnonzero(row)
        advance, arrives = fill_gaps(places, (distances(places) - 1) // longest, longest)
        n = len(advance)
        weight = values_at(row, places, arrives)
        return Steps(advance, weight, np.ones(n, bool), advance - 1, np.full(n, GAP_BITS))

    def reader(self, run: int) -> IndexReader:
        """Reads a gap a step."""
        return _Reader()


class _Reader(IndexReader):
    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        return bits.take(GAP_BITS) + 1, True
