"""The interface of a weight format, and the bit strings that formats are written to."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import ClassVar

import numpy as np

MAX_ADVANCE = 64  # positions a step can move
MAX_INDEX_BITS = 16  # of one step


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of one row in order; arrays of equal length.

    ``advance``: positions moved. ``has_value``: whether it has a value; ``weight`` (int8) is 0 where none
    does. ``index``, ``index_bits``: what the format writes, LSB first.
    """

    advance: np.ndarray
    weight: np.ndarray
    has_value: np.ndarray
    index: np.ndarray
    index_bits: np.ndarray


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

    def peek(self, n_bits: int) -> int:
        """The next ``n_bits`` bits as an unsigned integer."""
        first, last = self.position // 8, (self.position + n_bits + 7) // 8
        value = int.from_bytes(self._data[first:last], "little") >> self.position % 8
        return value & ((1 << n_bits) - 1)

    def take(self, n_bits: int) -> int:
        """The next ``n_bits`` bits, which are used up."""
        value = self.peek(n_bits)
        self.position += n_bits
        return value


class IndexReader(ABC):
    """Reference decoder of a stream's indices; holds what a format carries from step to step."""

    @abstractmethod
    def read(self, bits: BitReader, first: bool) -> tuple[int, bool]:
        """Take the index of a step (``first``: of its row); returns its advance and whether it has a value."""


@dataclass(frozen=True)
class WeightFormat(ABC):
    """A way to write where a row's non-zeros are; subclasses are frozen dataclasses whose fields are its parameters.

    ``run``, here and below: length of a tap's run of channels, the most that a relative step may advance.

    Attributes
    ----------
    name : str
        The module's name, here and in the gateware.
    code : int
        Value of the layer descriptor's ``format`` field, 0..15.
    """

    name: ClassVar[str]
    code: ClassVar[int]

    def __str__(self) -> str:
        """The name with the parameters, e.g. ``nm:2:4``."""
        return ":".join(map(str, (self.name, *astuple(self))))

    @property
    def parameter(self) -> int:
        """What the decoder must know: the layer descriptor's ``parameter`` field, 0..255."""
        return 0

    @classmethod
    def from_parameter(cls, parameter: int) -> "WeightFormat":
        """A format that reads what one with this ``parameter`` wrote."""
        return cls()

    @classmethod
    def candidates(cls, rows: np.ndarray, run: int) -> "Sequence[WeightFormat]":
        """Parameters worth trying for a layer (int8 rows x positions)."""
        return [cls()]

    @property
    def group(self) -> int:
        """Rows that share an index; they must stay neighbours in a core's row table."""
        return 1

    def supports(self, rows: np.ndarray, run: int) -> bool:
        """Whether these rows can be written."""
        return True

    @abstractmethod
    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """Steps of a row (int8 vector); none for a row of zeros."""

    def steps(self, rows: np.ndarray, run: int) -> list[Steps]:
        """Steps of up to ``group`` neighbouring rows."""
        return [self.row_steps(row, run) for row in rows]

    @abstractmethod
    def reader(self, run: int) -> IndexReader:
        """A reference decoder at the beginning of a stream."""


def distances(places: np.ndarray) -> np.ndarray:
    """How far each of the ascending ``places`` is from the one before it, the first from -1."""
    gaps = places + 1
    gaps[1:] -= gaps[:-1].copy()
    return gaps


def gaps_of_rows(rows: np.ndarray) -> np.ndarray:
    """`distances` of the non-zeros of all rows, one after the other."""
    row, place = np.nonzero(rows)
    return np.where(np.diff(row, prepend=-1) > 0, place + 1, np.diff(place, prepend=-1))


def fill_gaps(places: np.ndarray, n_fillers: np.ndarray, filler: int) -> tuple[np.ndarray, np.ndarray]:
    """Advances to ``places``, ``n_fillers`` steps of ``filler`` positions in front of each; and which steps arrive."""
    arrivals = np.cumsum(n_fillers + 1) - 1
    n_steps = int(arrivals[-1]) + 1 if len(arrivals) else 0
    advance, arrives = np.full(n_steps, filler), np.zeros(n_steps, bool)
    advance[arrivals] = distances(places) - n_fillers * filler
    arrives[arrivals] = True
    return advance, arrives


def values_at(row: np.ndarray, places: np.ndarray, arrives: np.ndarray) -> np.ndarray:
    """Weight of each step: ``row[places]`` in the steps that arrive, else 0."""
    weight = np.zeros(len(arrives), np.int64)
    weight[arrives] = row[places]
    return weight
