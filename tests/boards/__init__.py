"""Tests of boards without a processor: the serial link, the pin-level top, bitstreams."""
