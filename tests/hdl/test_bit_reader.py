"""Bit reader; bench: ``tb/bit_reader_tb.py``."""

import pytest
from pumice.spec.formats import MAX_INDEX_BITS
from pumice.spec.values import MAX_VALUE_BITS
from pumice_hdl.core.bit_reader import BitReader

from tests.hdl.harness import simulate


@pytest.mark.parametrize("window_bits", [MAX_VALUE_BITS, MAX_INDEX_BITS])
def test_bit_reader(window_bits):
    simulate(BitReader(window_bits), "bit_reader_tb", n_tests=15, env={"WINDOW_BITS": str(window_bits)})


@pytest.mark.parametrize("window_bits", [0, 17])
def test_a_window_is_at_most_half_a_chunk(window_bits):
    with pytest.raises(ValueError, match=rf"window_bits must be in 1\.\.16, not {window_bits}"):
        BitReader(window_bits)
