"""N:M: groups of M positions with N slots, each an index of ``ceil(log2 M)`` bits in the group and a value.

The slots of a group have ascending indices; those that no non-zero needs hold a value of 0 at other positions. The
last group of a row ends with the row's last non-zero, and groups behind it are left out.
Rate: N steps each M positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .base import BitReader, IndexReader, Steps, WeightFormat, distances

MAX_M = 16


@dataclass(frozen=True)
class NM(WeightFormat):
    """At most ``n`` non-zeros in each ``m`` positions, 1 <= n <= m <= 16."""

    name, code = "nm", 3
    n: int = 2
    m: int = 4

    def __post_init__(self):
        if not 1 <= self.n <= self.m <= MAX_M:
            raise ValueError(f"nm:N:M needs 1 <= N <= M <= {MAX_M}, not {self.n} and {self.m}")

    @property
    def parameter(self) -> int:
        """``n - 1`` in the low, ``m - 1`` in the high four bits."""
        return self.n - 1 | self.m - 1 << 4

    @classmethod
    def from_parameter(cls, parameter: int) -> "NM":
        """The inverse of `parameter`."""
        return cls((parameter & 15) + 1, (parameter >> 4) + 1)

    @classmethod
    def candidates(cls, rows: np.ndarray, run: int) -> "Sequence[NM]":
        """Of all M with the smallest N each, the one with the fewest slots, and the one with the fewest bits."""
        found = [cls(max(1, int(_counts(rows, m).max(initial=0))), m) for m in range(1, MAX_M + 1) if run >= 2 * m - 1]
        slots = [f._n_slots(rows) for f in found]
        fewest = min(zip(slots, found, strict=True), key=lambda pair: (pair[0], pair[1].index_bits))[1]
        smallest = min(zip(slots, found, strict=True), key=lambda pair: pair[0] * (8 + pair[1].index_bits))[1]
        return list(dict.fromkeys((fewest, smallest)))

    def _n_slots(self, rows: np.ndarray) -> int:
        """Slots of all rows."""
        positions, nonzero = np.arange(rows.shape[1]), rows != 0
        last = (positions * nonzero).max(axis=1, initial=0)
        in_front = last // self.m * self.m  # positions of groups in front of the last one
        behind = nonzero & (positions >= in_front[:, None])
        return int((in_front // self.m * self.n).sum() + behind.sum())

    @property
    def index_bits(self) -> int:
        """Bits of an index in the group."""
        return (self.m - 1).bit_length()

    def supports(self, rows: np.ndarray, run: int) -> bool:
        """No group has too many non-zeros; steps advance by up to 2 M - 1."""
        return run >= 2 * self.m - 1 and _counts(rows, self.m).max(initial=0) <= self.n

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a slot."""
        nonzero = np.flatnonzero(row)
        n_full = nonzero[-1] // self.m if len(nonzero) else 0  # groups in front of the last one
        groups = row[: n_full * self.m].reshape(-1, self.m)
        slots = np.sort(np.argsort(groups == 0, axis=1, kind="stable")[:, : self.n], axis=1)
        places = (slots + self.m * np.arange(n_full)[:, None]).ravel()
        places = np.concatenate([places, nonzero[nonzero >= n_full * self.m]])
        n = len(places)
        return Steps(
            distances(places),
            row[places].astype(np.int64),
            np.ones(n, bool),
            places % self.m,
            np.full(n, self.index_bits),
        )

    def reader(self, run: int) -> IndexReader:
        """Reads an index a slot."""
        return _Reader(self)


class _Reader(IndexReader):
    def __init__(self, format: NM):
        self._format = format

    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        if first:
            self._slot, self._place = 0, -1
        elif self._slot == 0:
            self._place -= self._format.m
        place = bits.take(self._format.index_bits)
        advance, self._place = place - self._place, place
        self._slot = (self._slot + 1) % self._format.n
        return advance, True


def _counts(rows: np.ndarray, m: int) -> np.ndarray:
    """Non-zeros of each group of ``m`` positions."""
    padded = np.pad(rows != 0, ((0, 0), (0, -rows.shape[1] % m)))
    return padded.reshape(-1, m).sum(axis=1)
