"""Tests of power readout."""
