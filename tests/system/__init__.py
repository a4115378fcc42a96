"""Tests of the whole system: images on the verilated gateware against the golden model."""
