"""Notebooks for PYNQ (``pynq get-notebooks pumice``), with what they run."""
