"""Tests of devices and of the driver."""
