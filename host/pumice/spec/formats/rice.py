"""Rice-coded gaps: a truncated unary quotient and ``k`` bits of remainder.

The gap ``advance - 1`` is ``q * 2**k + r``: ``q`` ones, a zero, ``r`` in ``k`` bits; ``q`` is less than
``Q = min(8, 64 >> k)``. ``Q`` ones alone are an escape: a step without value that advances ``min(Q * 2**k, run)``.
Rate: one non-zero a cycle; each escape costs one (gaps above 64 for k = 3..6, 32, 16, 8 for k = 2, 1, 0).
"""

from dataclasses import dataclass

import numpy as np

from .base import (
    MAX_ADVANCE,
    BitReader,
    IndexReader,
    Steps,
    WeightFormat,
    distances,
    fill_gaps,
    gaps_of_rows,
    values_at,
)

MAX_QUOTIENT = 8
MAX_K = 6


@dataclass(frozen=True)
class Rice(WeightFormat):
    """Gaps with ``k`` bits of remainder, 0 <= k <= 6."""

    name, code = "rice", 4
    k: int = 2

    def __post_init__(self):
        if not 0 <= self.k <= MAX_K:
            raise ValueError(f"rice:K needs 0 <= K <= {MAX_K}, not {self.k}")

    @property
    def parameter(self) -> int:
        """``k``."""
        return self.k

    @classmethod
    def from_parameter(cls, parameter: int) -> "Rice":
        """The inverse of `parameter`."""
        return cls(parameter)

    @classmethod
    def candidates(cls, rows: np.ndarray, run: int) -> "list[Rice]":
        """The ``k`` that is shortest but for escapes, and the next one, which needs fewer of them."""
        gaps = gaps_of_rows(rows) - 1
        best = min(range(MAX_K), key=lambda k: int((gaps >> k).sum()) + k * len(gaps))
        return [cls(best), cls(best + 1)]

    @property
    def max_quotient(self) -> int:
        """Ones of an escape."""
        return min(MAX_QUOTIENT, MAX_ADVANCE >> self.k)

    def reach(self, run: int) -> int:
        """Longest advance, and that of an escape."""
        return min(self.max_quotient << self.k, run)

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a non-zero or escape."""
        reach = self.reach(run)
        places = np.flatnonzero(row)
        advance, arrives = fill_gaps(places, (distances(places) - 1) // reach, reach)
        quotient, remainder = np.divmod(advance - 1, 1 << self.k)
        code = (1 << quotient) - 1 | remainder << quotient + 1
        index = np.where(arrives, code, (1 << self.max_quotient) - 1)
        index_bits = np.where(arrives, quotient + 1 + self.k, self.max_quotient)
        return Steps(advance, values_at(row, places, arrives), arrives, index, index_bits)

    def reader(self, run: int) -> IndexReader:
        """Reads a gap or escape."""
        return _Reader(self, run)


class _Reader(IndexReader):
    def __init__(self, format: Rice, run: int):
        self._k, self._max_quotient, self._reach = format.k, format.max_quotient, format.reach(run)

    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        quotient = 0
        while bits.take(1):
            quotient += 1
            if quotient == self._max_quotient:
                return self._reach, False
        return (quotient << self._k | bits.take(self._k)) + 1, True
