"""Dense: every weight as a byte, zeros included; rows of zeros take no space."""

import numpy as np

from .base import BitReader, BitWriter, Step, WeightFormat


class Dense(WeightFormat):
    """8 bits a position, one position a step."""

    name = "dense"
    code = 0

    def steps(self, row: np.ndarray, run: int) -> list[Step]:
        """One step a position up to the last non-zero one."""
        nonzero = np.flatnonzero(row)
        return [Step(1, int(w)) for w in row[: nonzero[-1] + 1]] if len(nonzero) else []

    def encode(self, row: np.ndarray, run: int, bits: BitWriter) -> int:
        """Append a byte a step."""
        steps = self.steps(row, run)
        for step in steps:
            bits.put(step.weight, 8)
        return len(steps)

    def decode(self, bits: BitReader, n_steps: int) -> list[Step]:
        """Read a byte a step."""
        return [Step(1, bits.take_int8()) for _ in range(n_steps)]
