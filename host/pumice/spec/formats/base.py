"""The interface of a weight format, and the bit strings that formats are written to."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

MAX_ADVANCE = 32  # positions a step can move


class Step(NamedTuple):
    """One cycle of a decoder: move ``advance`` positions (1..32), accumulate ``weight`` (int8, 0 adds nothing)."""

    advance: int
    weight: int


class BitWriter:
    """Packs values LSB first into bytes."""

    def __init__(self):
        self._value, self.n_bits = 0, 0
        self._chunks: list[bytes] = []
        self._held = 0

    def put(self, value: int, n_bits: int) -> None:
        """Append the low ``n_bits`` bits of ``value``."""
        self._value |= (int(value) & ((1 << n_bits) - 1)) << self._held
        self._held += n_bits
        self.n_bits += n_bits
        if self._held >= 512:
            self._chunks.append((self._value & ((1 << 512) - 1)).to_bytes(64, "little"))
            self._value >>= 512
            self._held -= 512

    def to_bytes(self, align: int = 8) -> bytes:
        """Everything written so far, zero-padded to a multiple of ``align`` bytes."""
        tail = self._value.to_bytes(-(-self._held // 8), "little") if self._held else b""
        data = b"".join(self._chunks) + tail
        return data + bytes(-len(data) % align)


class BitReader:
    """Reads values LSB first from bytes; zeros follow the end."""

    def __init__(self, data: bytes):
        self._data, self.position = data, 0

    def take(self, n_bits: int) -> int:
        """The next ``n_bits`` bits as an unsigned integer."""
        first, last = self.position // 8, (self.position + n_bits + 7) // 8
        value = int.from_bytes(self._data[first:last], "little") >> self.position % 8
        self.position += n_bits
        return value & ((1 << n_bits) - 1)

    def take_int8(self) -> int:
        """The next byte as a signed integer."""
        value = self.take(8)
        return value - 256 if value > 127 else value


class WeightFormat(ABC):
    """Encoder and reference decoder of one format; stateless.

    Attributes
    ----------
    name : str
        The module's name, here and in the gateware.
    code : int
        Value of the layer descriptor's ``format`` field, 0..15.
    """

    name: str
    code: int

    def supports(self, run: int) -> bool:
        """Whether rows with runs of ``run`` channels can be encoded."""
        return run >= 1

    @abstractmethod
    def steps(self, row: np.ndarray, run: int) -> list[Step]:
        """Steps that a decoder emits for a row (int8 vector); none for a row of zeros."""

    @abstractmethod
    def encode(self, row: np.ndarray, run: int, bits: BitWriter) -> int:
        """Append a row to a stream; returns its number of steps."""

    @abstractmethod
    def decode(self, bits: BitReader, n_steps: int) -> list[Step]:
        """Reference decoder: read ``n_steps`` steps of one row."""


def rebuild_row(steps: list[Step], n_positions: int) -> np.ndarray:
    """The int8 row that a list of steps stands for."""
    row, position = np.zeros(n_positions, np.int8), -1
    for advance, weight in steps:
        position += advance
        if weight:
            row[position] = weight
    return row
