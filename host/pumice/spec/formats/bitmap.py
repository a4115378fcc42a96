"""Bitmap: 16-bit windows of presence bits.

A row is cut into windows of 16 positions. A window is its bitmap: bit ``i`` is set if position ``i`` of the window
is not zero. Windows after the row's last non-zero are left out.
Rate: one non-zero a cycle; a window without non-zeros costs one cycle (a step without value that advances 16).
"""

from dataclasses import dataclass

import numpy as np

from .base import BitReader, IndexReader, Steps, WeightFormat, fill_gaps, values_at

WINDOW = 16


@dataclass(frozen=True)
class Bitmap(WeightFormat):
    """One bit a position."""

    name, code = "bitmap", 1

    def supports(self, rows: np.ndarray, run: int) -> bool:
        """Steps advance by up to 31 (first to last place of neighbouring windows), so a run may not be shorter."""
        return run >= 2 * WINDOW - 1

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a non-zero or empty window; an empty window moves 16 positions, wherever the row stood."""
        places = np.flatnonzero(row)
        windows = places // WINDOW
        opens = np.diff(windows, prepend=-1) > 0
        n_empty = np.where(opens, np.diff(windows, prepend=-1) - 1, 0)
        advance, arrives = fill_gaps(places, n_empty, WINDOW)
        fresh = ~arrives
        fresh[arrives] = opens
        bitmaps = np.bincount(windows, 1 << places % WINDOW)[windows].astype(np.int64)
        index = np.zeros(len(advance), np.int64)
        index[arrives] = np.where(opens, bitmaps, 0)
        return Steps(advance, values_at(row, places, arrives), arrives, index, WINDOW * fresh)

    def reader(self, run: int) -> IndexReader:
        """Reads a bitmap when the last one is used up."""
        return _Reader()


class _Reader(IndexReader):
    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        if first:
            self._bitmap, self._place = 0, WINDOW - 1  # of the last step, in its window
        if not self._bitmap:
            self._bitmap = bits.take(WINDOW)
            if not self._bitmap:
                return WINDOW, False
            self._place -= WINDOW
        lowest = (self._bitmap & -self._bitmap).bit_length() - 1
        advance, self._place = lowest - self._place, lowest
        self._bitmap &= self._bitmap - 1
        return advance, True
