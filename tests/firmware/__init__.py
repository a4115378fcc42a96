"""Tests of the firmware's C sources, and the register model that they share with the soft core's bench."""
