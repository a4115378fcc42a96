"""Serial lines that are not perfect."""

import numpy as np


class BadLine:
    """In turn flips a bit of, drops and repeats a byte, ``gap`` bytes apart on average.

    Attributes
    ----------
    n_faults : int
    """

    def __init__(self, seed: int, *, gap: int):
        self._rng = np.random.default_rng(seed)
        self._gap, self.n_faults = gap, 0
        self._wait = gap

    def __call__(self, data: bytes) -> bytes:
        """What arrives of ``data``."""
        out = bytearray()
        for byte in data:
            self._wait -= 1
            if self._wait > 0:
                out.append(byte)
                continue
            out += (bytes([byte ^ 1 << int(self._rng.integers(8))]), b"", bytes([byte, byte]))[self.n_faults % 3]
            self.n_faults += 1
            self._wait = int(self._rng.integers(1, 2 * self._gap))
        return bytes(out)
