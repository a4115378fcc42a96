"""Plain: every value as a byte, two's complement."""

import numpy as np

from ..formats import BitReader
from .base import N_VALUES, ValueCoding


class Plain(ValueCoding):
    """8 bits a value, no table."""

    name, number = "plain", 0

    def __init__(self):
        self.codes = np.arange(-N_VALUES // 2, N_VALUES // 2) & 0xFF
        self.lengths = np.full(N_VALUES, 8)
        self.table = b""

    @classmethod
    def fit(cls, counts: np.ndarray) -> "Plain":
        """Has a code for everything."""
        return cls()

    @classmethod
    def from_table(cls, table: bytes) -> "Plain":
        """There is only one."""
        return cls()

    def read(self, bits: BitReader) -> int:
        """Take a byte."""
        value = bits.take(8)
        return value - N_VALUES if value >= N_VALUES // 2 else value
