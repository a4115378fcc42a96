"""Bitmap: 16-bit windows of presence bits, each followed by its non-zero weights as bytes.

A row is cut into windows of 16 positions. A window is its bitmap (bit ``i``: position ``i`` of the window is not zero)
and then one byte for each set bit, lowest position first. Windows after the row's last non-zero are left out.
Rate: one non-zero a cycle; a window without non-zeros costs one cycle (a step of weight 0 that advances 16).
"""

import numpy as np

from .base import BitReader, BitWriter, Step, WeightFormat

WINDOW = 16


class Bitmap(WeightFormat):
    """One bit a position and 8 bits a non-zero."""

    name = "bitmap"
    code = 1

    def supports(self, run: int) -> bool:
        """Steps advance by up to 31 (first to last place of neighbouring windows), so a run may not be shorter."""
        return run >= 2 * WINDOW - 1

    def _windows(self, row: np.ndarray) -> list[np.ndarray]:
        nonzero = np.flatnonzero(row)
        end = nonzero[-1] // WINDOW * WINDOW + WINDOW if len(nonzero) else 0
        return [row[i : i + WINDOW] for i in range(0, end, WINDOW)]

    def steps(self, row: np.ndarray, run: int) -> list[Step]:
        """One step a non-zero or empty window."""
        steps, position = [], -1
        for i, window in enumerate(self._windows(row)):
            places = np.flatnonzero(window)
            for place in places:
                steps.append(Step(i * WINDOW + int(place) - position, int(window[place])))
                position = i * WINDOW + int(place)
            if not len(places):
                # an empty window moves 16 positions, wherever in the last window the row stood
                steps.append(Step(WINDOW, 0))
                position += WINDOW
        return steps

    def encode(self, row: np.ndarray, run: int, bits: BitWriter) -> int:
        """Append the row's windows."""
        n_steps = 0
        for window in self._windows(row):
            places = np.flatnonzero(window)
            bits.put(sum(1 << int(place) for place in places), WINDOW)
            for place in places:
                bits.put(int(window[place]), 8)
            n_steps += max(1, len(places))
        return n_steps

    def decode(self, bits: BitReader, n_steps: int) -> list[Step]:
        """Read windows until ``n_steps`` steps are out."""
        steps: list[Step] = []
        bitmap, place = 0, WINDOW - 1  # place of the last step in its window
        while len(steps) < n_steps:
            if not bitmap:
                bitmap, place = bits.take(WINDOW), place - WINDOW
                if not bitmap:
                    steps.append(Step(WINDOW, 0))
                    place += WINDOW
                    continue
            lowest = (bitmap & -bitmap).bit_length() - 1
            bitmap &= bitmap - 1
            steps.append(Step(lowest - place, bits.take_int8()))
            place = lowest
        return steps
