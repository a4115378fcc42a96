"""Overlays for PYNQ, a folder for each board of `pumice.spec.boards`: ``pumice.hwh``, and ``pumice.bit`` once built."""
