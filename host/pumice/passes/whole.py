"""What layers cost when no zero is made use of."""

from dataclasses import dataclass

import numpy as np

from ..spec.coding import CodingRequest
from ..spec.formats import Steps
from ..spec.formats.dense import Dense
from ..spec.values.plain import Plain


@dataclass(frozen=True)
class Whole(Dense):
    """Dense up to each row's end, be it zero. Decoded as `Dense`."""

    def row_steps(self, row: np.ndarray, run: int) -> Steps:
        """One step a position."""
        zeros = np.zeros(len(row), np.int64)
        return Steps(zeros + 1, row.astype(np.int64), np.ones(len(row), bool), zeros, zeros)


WHOLE = CodingRequest(format=Whole, fixed=Whole(), values=Plain)
