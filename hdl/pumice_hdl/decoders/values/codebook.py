"""Decoder of `pumice.spec.values.codebook`."""

from amaranth import Module
from amaranth.lib.memory import Memory
from pumice.spec.config import WEIGHT_WORD_BITS
from pumice.spec.values.codebook import CODE_BITS, N_ENTRIES

from ...pipeline import delayed
from .base import BYTES_PER_WORD, VALUE_LATENCY, ValueDecoder


class CodebookDecoder(ValueDecoder):
    """Four bits that choose one of the table's 16 bytes."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = memory = Memory(shape=WEIGHT_WORD_BITS, depth=N_ENTRIES // BYTES_PER_WORD, init=[])
        write, read = memory.write_port(), memory.read_port()
        code = delayed(m, self.window[:CODE_BITS], VALUE_LATENCY - 1)
        m.d.comb += [
            self.value_bits.eq(CODE_BITS),
            write.en.eq(self.table_valid & (self.table.index < memory.depth)),
            write.addr.eq(self.table.index),
            write.data.eq(self.table.word),
            read.addr.eq(code[3:]),
            self.weight.eq(read.data.word_select(delayed(m, code[:3], 1), 8)),
        ]
        return m
