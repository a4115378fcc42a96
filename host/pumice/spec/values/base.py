"""The interface of a value coding."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from ..formats import BitReader

MAX_VALUE_BITS = 12
N_VALUES = 256  # of int8; arrays over all values start with -128


class ValueCoding(ABC):
    """A code word for each int8 value that a layer has, and the table that a decoder needs.

    Attributes
    ----------
    name : str
        The module's name, here and in the gateware.
    number : int
        Value of the layer descriptor's ``values`` field, 0..15.
    codes, lengths : np.ndarray
        Code word (LSB first) and its bits for each of the values -128..127; length 0: the value has none.
    table : bytes
        What the segment carries, whole words of 8 bytes, fewer than 256.
    """

    name: ClassVar[str]
    number: ClassVar[int]

    codes: np.ndarray
    lengths: np.ndarray
    table: bytes

    @classmethod
    @abstractmethod
    def fit(cls, counts: np.ndarray) -> "ValueCoding | None":
        """The coding that is shortest for values that occur ``counts`` times; none if it has not enough codes."""

    @classmethod
    @abstractmethod
    def from_table(cls, table: bytes) -> "ValueCoding":
        """The coding that a segment's table describes."""

    @abstractmethod
    def read(self, bits: BitReader) -> int:
        """Reference decoder: take a value."""


def count_values(weights: np.ndarray) -> np.ndarray:
    """How often each int8 value occurs."""
    return np.bincount(weights.ravel().astype(np.int64) + N_VALUES // 2, minlength=N_VALUES)
