"""Relative index: 4-bit gap and 8-bit weight a step, as in EIE; longer gaps take filler steps of weight 0."""

import numpy as np

from .base import BitReader, BitWriter, Step, WeightFormat

GAP_BITS = 4


class Relative(WeightFormat):
    """12 bits a step: gap (advance - 1), then the weight; rate one step a cycle."""

    name = "relative"
    code = 2

    def steps(self, row: np.ndarray, run: int) -> list[Step]:
        """One step a non-zero, and one filler each ``min(16, run)`` positions of a longer gap."""
        longest = min(1 << GAP_BITS, run)
        steps, position = [], -1
        for place in np.flatnonzero(row):
            while place - position > longest:
                steps.append(Step(longest, 0))
                position += longest
            steps.append(Step(int(place) - position, int(row[place])))
            position = int(place)
        return steps

    def encode(self, row: np.ndarray, run: int, bits: BitWriter) -> int:
        """Append 12 bits a step."""
        steps = self.steps(row, run)
        for step in steps:
            bits.put(step.advance - 1, GAP_BITS)
            bits.put(step.weight, 8)
        return len(steps)

    def decode(self, bits: BitReader, n_steps: int) -> list[Step]:
        """Read 12 bits a step."""
        return [Step(bits.take(GAP_BITS) + 1, bits.take_int8()) for _ in range(n_steps)]
