"""Block: ``B`` neighbouring positions share one index; with ``R`` above 1, so do ``R`` rows (BSR).

A row is a list of blocks at any position. A block has a 6-bit gap code and the values of its positions, zeros included:
codes 0..62 advance by one more to the block's first position; 63 is an escape, a step without value that advances
``min(63, run)``. The last block ends at the row's end. In front of a row's first code stands one bit: 1, the row
brings its codes; 0, it has the codes of the row before it (the last one that brought some) and none in the stream.
Rate: one value of a block a cycle, zeros included; an escape costs one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .base import BitReader, IndexReader, Steps, WeightFormat, distances, fill_gaps

GAP_BITS = 6
ESCAPE = (1 << GAP_BITS) - 1
MAX_B = 32
MAX_CODES = 256  # of a row, that the decoder keeps for the next one


@dataclass(frozen=True)
class Block(WeightFormat):
    """Blocks of ``b`` positions (1..32) and ``r`` rows (1..16)."""

    name, code = "block", 5
    b: int = 16
    r: int = 1

    def __post_init__(self):
        if not (1 <= self.b <= MAX_B and 1 <= self.r <= 16):
            raise ValueError(f"block:B:R needs 1 <= B <= {MAX_B} and 1 <= R <= 16, not {self.b} and {self.r}")

    @property
    def parameter(self) -> int:
        """``b - 1``; which rows share codes is in the stream."""
        return self.b - 1

    @classmethod
    def from_parameter(cls, parameter: int) -> "Block":
        """A format with the same ``b``."""
        return cls(parameter + 1)

    @classmethod
    def candidates(cls, rows: np.ndarray, run: int) -> "Sequence[Block]":
        """The two common shapes that take about the fewest bits."""

        def n_bits(f: "Block") -> int:
            padded = np.pad(rows != 0, ((0, -rows.shape[0] % f.r), (0, -rows.shape[1] % f.b)))
            n_rows, n_positions = padded.shape
            blocks = padded.reshape(n_rows // f.r, f.r, n_positions // f.b, f.b).any(axis=(1, 3))
            return int(np.count_nonzero(blocks)) * (GAP_BITS + 8 * f.b * f.r)

        shapes = (cls(b, r) for b, r in ((2, 1), (4, 1), (8, 1), (16, 1), (4, 4), (8, 8), (1, 4)))
        return sorted(shapes, key=n_bits)[:2]

    @property
    def group(self) -> int:
        """The rows of a block."""
        return self.r

    def supports(self, rows: np.ndarray, run: int) -> bool:
        """Codes that are shared must fit the decoder's memory."""
        if self.r == 1:
            return True
        groups = (rows[i : i + self.r] for i in range(0, len(rows), self.r))
        return all((self.steps(group, run)[0].index_bits > 0).sum() <= MAX_CODES for group in groups)

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """Steps of a row on its own."""
        return self.steps(row[None], run)[0]

    def steps(self, rows: np.ndarray, run: int) -> list[Steps]:
        """One step a position of a block or escape, the same advances in all rows."""
        n_positions, longest = rows.shape[1], min(ESCAPE, run)
        starts = self._starts(np.flatnonzero(rows.any(axis=0)))
        places = (starts[:, None] + np.arange(self.b)).ravel()
        opens = np.arange(len(places)) % self.b == 0
        opens, places = opens[places < n_positions], places[places < n_positions]
        n_escapes = (distances(places) - 1) // longest
        advance, arrives = fill_gaps(places, n_escapes, longest)
        n = len(advance)
        codes = np.where(arrives, advance - 1, ESCAPE)
        index_bits = np.full(n, GAP_BITS)
        index_bits[arrives] = GAP_BITS * opens
        is_first = np.arange(n) == 0
        with_codes = np.where(index_bits > 0, codes << is_first, 0) | is_first
        steps = []
        for i, row in enumerate(rows):
            weight = np.zeros(n, np.int64)
            weight[arrives] = row[places]
            index, bits = (with_codes, index_bits + is_first) if i == 0 else (np.zeros(n, np.int64), 1 * is_first)
            steps.append(Steps(advance, weight, arrives, index, bits))
        return steps

    def _starts(self, nonzero: np.ndarray) -> np.ndarray:
        """First positions of the fewest blocks that cover ``nonzero``."""
        starts, end = [], 0
        for place in nonzero.tolist():
            if place >= end:
                starts.append(place)
                end = place + self.b
        return np.array(starts, np.int64)

    def reader(self, run: int) -> IndexReader:
        """Reads a code a block."""
        return _Reader(self.b, run)


class _Reader(IndexReader):
    def __init__(self, b: int, run: int):
        self._b, self._longest = b, min(ESCAPE, run)
        self._codes: list[int] = []

    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        if first:
            self._left, self._n_used = 0, 0
            self._brings = bits.take(1)
            if self._brings:
                self._codes = []
        if self._left:
            self._left -= 1
            return 1, True
        if self._brings:
            self._codes.append(bits.take(GAP_BITS))
        code = self._codes[self._n_used]
        self._n_used += 1
        if code == ESCAPE:
            return self._longest, False
        self._left = self._b - 1
        return code + 1, True
