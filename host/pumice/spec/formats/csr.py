"""CSR: a 16-bit absolute index each step.

The index is ``tap << channel_bits | channel``; with flat addressing, the position. Rate: one non-zero a cycle, always.
"""

from dataclasses import dataclass

import numpy as np

from .base import BitReader, IndexReader, Steps, WeightFormat, distances

INDEX_BITS = 16


@dataclass(frozen=True)
class Csr(WeightFormat):
    """Indices whose low ``channel_bits`` bits (0..16) are the channel; the layer's shape says how many."""

    name, code = "csr", 6
    channel_bits: int = INDEX_BITS

    def __post_init__(self):
        if not 0 <= self.channel_bits <= INDEX_BITS:
            raise ValueError(f"csr:BITS needs 0 <= BITS <= {INDEX_BITS}, not {self.channel_bits}")

    @property
    def parameter(self) -> int:
        """``channel_bits``."""
        return self.channel_bits

    @classmethod
    def from_parameter(cls, parameter: int) -> "Csr":
        """The inverse of `parameter`."""
        return cls(parameter)

    @classmethod
    def candidates(cls, rows: np.ndarray, run: int) -> "list[Csr]":
        """The one that holds all channels."""
        bits = (run - 1).bit_length()
        return [cls(bits)] if bits <= INDEX_BITS else []

    def supports(self, rows: np.ndarray, run: int) -> bool:
        """Taps and channels fit their bits."""
        n_taps = -(-rows.shape[1] // run)
        return run <= 1 << self.channel_bits and n_taps <= 1 << (INDEX_BITS - self.channel_bits)

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a non-zero."""
        places = np.flatnonzero(row)
        tap, channel = np.divmod(places, run)
        n = len(places)
        return Steps(
            distances(places),
            row[places].astype(np.int64),
            np.ones(n, bool),
            tap << self.channel_bits | channel,
            np.full(n, INDEX_BITS),
        )

    def reader(self, run: int) -> IndexReader:
        """Reads an index a step."""
        return _Reader(self.channel_bits, run)


class _Reader(IndexReader):
    def __init__(self, channel_bits: int, run: int):
        self._channel_bits, self._run = channel_bits, run

    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        if first:
            self._position = -1
        index = bits.take(INDEX_BITS)
        tap, channel = index >> self._channel_bits, index & (1 << self._channel_bits) - 1
        position = tap * self._run + channel
        advance, self._position = position - self._position, position
        return advance, True
