"""Rows to bit streams and back, in a weight format with a value coding; and the names of such pairs."""

from dataclasses import dataclass

import numpy as np

from .formats import FORMATS, BitReader, BitWriter, IndexReader, Steps, WeightFormat
from .values import N_VALUES, VALUE_CODINGS, ValueCoding


@dataclass(frozen=True)
class CodingRequest:
    """What a user asks for: ``format[:parameter...][+values]``, e.g. ``rice:3``, ``nm:2:4``, ``relative+huffman``.

    Attributes
    ----------
    format : type of WeightFormat
    fixed : WeightFormat or None
        With the parameters that were given; none if they are left to the compiler.
    values : type of ValueCoding
        Plain bytes unless given.
    """

    format: type[WeightFormat]
    fixed: WeightFormat | None
    values: type[ValueCoding]

    @classmethod
    def parse(cls, text: str) -> "CodingRequest":
        """Raises ValueError, which says what there is."""
        format_text, _, values = text.partition("+")
        name, *parameters = format_text.split(":")
        values = values or "plain"
        if name not in FORMATS or values not in VALUE_CODINGS:
            raise ValueError(
                f"unknown weight format {text}; there are {', '.join(FORMATS)}, "
                f"and behind a + {', '.join(VALUE_CODINGS)}"
            )
        try:
            fixed = FORMATS[name](*map(int, parameters)) if parameters else None
        except TypeError as error:
            raise ValueError(f"weight format {text} has too many parameters") from error
        return cls(FORMATS[name], fixed, VALUE_CODINGS[values])


def write_row(steps: Steps, values: ValueCoding, index_stream: BitWriter, value_stream: BitWriter) -> None:
    """Append a row's indices and values."""
    for index, n_bits in zip(steps.index.tolist(), steps.index_bits.tolist(), strict=True):
        index_stream.put(index, n_bits)
    place = steps.weight[steps.has_value] + N_VALUES // 2
    for code, n_bits in zip(values.codes[place].tolist(), values.lengths[place].tolist(), strict=True):
        value_stream.put(code, n_bits)


def read_row(
    reader: IndexReader, values: ValueCoding, index_stream: BitReader, value_stream: BitReader, n_steps: int
) -> np.ndarray:
    """Reference decoder: advance and weight of the next ``n_steps`` steps, those of one row; n_steps x 2."""
    steps = np.zeros((n_steps, 2), np.int64)
    for i in range(n_steps):
        advance, has_value = reader.read(index_stream, i == 0)
        steps[i] = advance, values.read(value_stream) if has_value else 0
    return steps


def rebuild_row(steps: np.ndarray, n_positions: int) -> np.ndarray:
    """The int8 row that steps (advance, weight) stand for."""
    row = np.zeros(n_positions, np.int8)
    positions, weights = np.cumsum(steps[:, 0]) - 1, steps[:, 1]
    row[positions[weights != 0]] = weights[weights != 0]
    return row
