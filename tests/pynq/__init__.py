"""PYNQ itself on the simulated board: each version of it in an environment of its own."""
