"""The simulated board: the verilated system as an in-process library."""
