"""Bit reader; bench: ``tb/bit_reader_tb.py``."""

from pumice_hdl.core.bit_reader import BitReader

from tests.hdl.harness import simulate


def test_bit_reader():
    simulate(BitReader(), "bit_reader_tb", n_tests=15)
