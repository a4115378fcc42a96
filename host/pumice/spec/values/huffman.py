"""Huffman: frequent values have short codes; a code's first five bits say how long it is.

The 32 combinations of the first five bits are *slots*, in the order of a canonical code (first bit highest). A code of
``n <= 5`` bits has ``2**(5 - n)`` neighbouring slots; a longer one shares its slot with the ``2**(n - 5)`` codes that
differ in the bits behind the fifth. Codes of a slot have one length, so that a decoder finds it in a table of 32
entries instead of comparing with the first code of every length: that is what fits into a cycle. Under this
constraint, and with at most 12 bits, the lengths are optimal (dynamic programming).

Table, as 64-bit words: 2 of lengths (4 bits a slot), 4 of bases (8 bits a slot), then the symbols (int8, most frequent
first). A code stands for symbol ``base + extra``, ``extra`` being the bits behind the fifth. Slots stand in the order
of the five bits as an LSB-first number.
"""

from functools import lru_cache

import numpy as np

from ..formats import BitReader
from .base import MAX_VALUE_BITS, N_VALUES, ValueCoding

PREFIX_BITS = 5
N_SLOTS = 1 << PREFIX_BITS
LENGTH_BITS = 4
LENGTH_BYTES = N_SLOTS * LENGTH_BITS // 8


class Huffman(ValueCoding):
    """Codes of 1..12 bits for up to 256 values."""

    name, number = "huffman", 2

    def __init__(self, slot_lengths: np.ndarray, bases: np.ndarray, symbols: np.ndarray):
        self._slot_lengths, self._bases, self._symbols = slot_lengths, bases, symbols
        packed = sum(int(n) << LENGTH_BITS * slot for slot, n in enumerate(slot_lengths))
        data = packed.to_bytes(LENGTH_BYTES, "little") + bases.astype(np.uint8).tobytes() + symbols.tobytes()
        self.table = data + bytes(-len(data) % 8)
        self.codes, self.lengths = np.zeros(N_VALUES, np.int64), np.zeros(N_VALUES, np.int64)
        for slot in reversed(range(N_SLOTS)):
            n = int(slot_lengths[slot])
            for extra in range(1 << max(0, n - PREFIX_BITS)):
                if n and bases[slot] + extra < len(symbols):
                    value = int(symbols[bases[slot] + extra]) + N_VALUES // 2
                    self.codes[value] = (slot | extra << PREFIX_BITS) & (1 << n) - 1
                    self.lengths[value] = n

    @classmethod
    def fit(cls, counts: np.ndarray) -> "Huffman":
        """The shortest code for values that occur ``counts`` times."""
        return cls._fit(tuple(counts.tolist()))

    @classmethod
    @lru_cache(maxsize=256)
    def _fit(cls, counts: tuple[int, ...]) -> "Huffman":
        order = np.argsort(-np.array(counts), kind="stable")
        order = order[: max(1, np.count_nonzero(counts))]
        lengths, bases, n_placed = np.zeros(N_SLOTS, np.int64), np.zeros(N_SLOTS, np.int64), 0
        slot = 0
        for n in _lengths(np.array(counts)[order]):
            for _ in range(1 << max(0, PREFIX_BITS - n)):
                reversed_slot = int(f"{slot:0{PREFIX_BITS}b}"[::-1], 2)
                lengths[reversed_slot], bases[reversed_slot] = n, n_placed
                slot += 1
            n_placed += 1 << max(0, n - PREFIX_BITS)
        return cls(lengths, bases, (order - N_VALUES // 2).astype(np.int8))

    @classmethod
    def from_table(cls, table: bytes) -> "Huffman":
        """Symbols behind the last one are padding, which no code reaches."""
        packed = int.from_bytes(table[:LENGTH_BYTES], "little")
        lengths = np.array([packed >> LENGTH_BITS * slot & (1 << LENGTH_BITS) - 1 for slot in range(N_SLOTS)])
        bases = np.frombuffer(table, np.uint8, N_SLOTS, LENGTH_BYTES).astype(np.int64)
        return cls(lengths, bases, np.frombuffer(table, np.int8, offset=LENGTH_BYTES + N_SLOTS))

    def read(self, bits: BitReader) -> int:
        """Take a code."""
        code = bits.peek(MAX_VALUE_BITS)
        slot = code & N_SLOTS - 1
        n = int(self._slot_lengths[slot])
        bits.take(n)
        extra = (code & (1 << n) - 1) >> PREFIX_BITS
        return int(self._symbols[self._bases[slot] + extra])


def _lengths(counts: np.ndarray) -> list[int]:
    """Code length of each symbol with slots of its own, and of each shared slot, ascending; ``counts`` descend.

    ``cost[s, j]``: fewest bits of the ``j`` most frequent symbols in ``s`` slots.
    """
    n = len(counts)
    below = np.concatenate([[0], np.cumsum(counts)])
    cost = np.full((N_SLOTS + 1, n + 1), np.inf)
    cost[0, 0] = 0
    came = np.zeros((N_SLOTS + 1, n + 1), np.int64)
    for s in range(1, N_SLOTS + 1):
        for length in range(1, MAX_VALUE_BITS + 1):
            n_slots, n_symbols = 1 << max(0, PREFIX_BITS - length), 1 << max(0, length - PREFIX_BITS)
            if n_slots > s:
                continue
            start = np.maximum(0, np.arange(n + 1) - n_symbols)
            bits = cost[s - n_slots, start] + length * (below - below[start])
            better = bits < cost[s]
            cost[s, better], came[s, better] = bits[better], length
    s, j, lengths = int(np.argmin(cost[:, n])), n, []
    while j > 0:
        length = int(came[s, j])
        lengths.append(length)
        s, j = s - (1 << max(0, PREFIX_BITS - length)), max(0, j - (1 << max(0, length - PREFIX_BITS)))
    return sorted(lengths)
