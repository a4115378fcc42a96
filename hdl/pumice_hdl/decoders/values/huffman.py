"""Decoder of `pumice.spec.values.huffman`."""

from amaranth import Array, Cat, Module, Signal
from amaranth.lib.memory import Memory
from pumice.spec.config import WEIGHT_WORD_BITS
from pumice.spec.values import MAX_VALUE_BITS
from pumice.spec.values.base import N_VALUES
from pumice.spec.values.huffman import LENGTH_BITS, LENGTH_BYTES, N_SLOTS, PREFIX_BITS

from ...pipeline import delayed
from .base import BYTES_PER_WORD, ValueDecoder

N_LENGTH_WORDS = LENGTH_BYTES // BYTES_PER_WORD
N_BASE_WORDS = N_SLOTS // BYTES_PER_WORD
MAX_EXTRA_BITS = MAX_VALUE_BITS - PREFIX_BITS


class HuffmanDecoder(ValueDecoder):
    """The length by the first five bits, from registers; the symbol in the three cycles behind."""

    def elaborate(self, platform):
        m = Module()
        lengths = Array(Signal(LENGTH_BITS, name=f"length{i}") for i in range(N_SLOTS))
        m.submodules.bases = bases = Memory(shape=WEIGHT_WORD_BITS, depth=N_BASE_WORDS, init=[])
        m.submodules.symbols = symbols = Memory(shape=WEIGHT_WORD_BITS, depth=N_VALUES // BYTES_PER_WORD, init=[])
        m.d.comb += self.value_bits.eq(lengths[self.window[:PREFIX_BITS]])

        per_word = N_SLOTS // N_LENGTH_WORDS
        for i in range(N_LENGTH_WORDS):
            with m.If(self.table_valid & (self.table.index == i)):
                m.d.sync += Cat(lengths[per_word * i : per_word * (i + 1)]).eq(self.table.word)
        for memory, start in ((bases, N_LENGTH_WORDS), (symbols, N_LENGTH_WORDS + N_BASE_WORDS)):
            write, index = memory.write_port(), self.table.index
            m.d.comb += [
                write.en.eq(self.table_valid & (index >= start) & (index < start + memory.depth)),
                write.addr.eq(index - start),
                write.data.eq(self.table.word),
            ]

        # Cycle 1: the slot's base and the bits behind the prefix. Cycle 2: their sum. Cycle 3: the symbol.
        slot, extra = delayed(m, self.window[:PREFIX_BITS], 1), delayed(m, self.window[PREFIX_BITS:], 1)
        length = delayed(m, self.value_bits, 1)
        base = bases.read_port(domain="comb")
        symbol = Signal(range(N_VALUES), reset_less=True)
        used = Cat(length > PREFIX_BITS + i for i in range(MAX_EXTRA_BITS))
        read = symbols.read_port()
        m.d.comb += [base.addr.eq(slot[3:]), read.addr.eq(symbol[3:])]
        m.d.sync += symbol.eq(base.data.word_select(slot[:3], 8) + (extra & used))
        m.d.comb += self.weight.eq(read.data.word_select(delayed(m, symbol[:3], 1), 8))
        return m
