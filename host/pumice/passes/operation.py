"""What passes hand to each other: a layer as sparse rows over taps."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..spec.numerics import wrap_int32


class Tap(NamedTuple):
    """A row's view of an input: ``inputs[source]`` at ``(y * sy + dy, x * sx + dx)`` for output position ``(y, x)``."""

    source: int
    dy: int
    dx: int


@dataclass(kw_only=True, eq=False)
class Operation:
    """One layer of the engine.

    Row ``m`` accumulates ``weights[m, t, c] * (value - zero point)`` over taps ``t`` and channels
    ``first_channel[m] + c`` and requantises the sum with its ``bias``, ``multiplier`` and ``shift``.

    Attributes
    ----------
    name, kind : str
        The graph's layer, and ``conv``, ``depthwise``, ``dense``, ``average``, ``max``, ``add`` or ``relayout``.
    inputs, output : str
        Tensor names, none when all rows are empty. All inputs are read at the same channel.
    stride : tuple of int
        ``(sy, sx)``; 1 along an axis with a single output position.
    taps : list of Tap
    weights : ndarray of int8, (rows, taps, channels)
    first_channel, channel : ndarray of int, (rows,)
        First channel read, and channel of ``output`` that the row makes.
    bias : ndarray of int64, (rows,)
        Without the zero points' share, taken modulo 2**32.
    multiplier, shift : ndarray of int64, (rows,)
    low, high : int
    scattered : bool
        Each output position is computed on its own: for strides that no layout of the input serves.
    row_stride : int
        Computed positions from one output row to the next, at least the output's width; set by `lay_out`.
    lane_sum : bool
        A tap stands for a vector that starts there, and the row's sum for that of all lanes (see `lanes`).
    dense_macs : int
        Multiply-accumulates of one inference as the graph states the layer.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: str
    stride: tuple[int, int]
    taps: list[Tap]
    weights: np.ndarray
    first_channel: np.ndarray
    channel: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    low: int
    high: int
    scattered: bool = False
    row_stride: int = 0
    lane_sum: bool = False
    dense_macs: int = 0

    @property
    def is_max(self) -> bool:
        """Whether rows keep the maximum instead of the sum."""
        return self.kind == "max"

    @property
    def is_grouped(self) -> bool:
        """Whether rows read several channels, starting from different ones."""
        return self.weights.shape[2] > 1 and bool(np.any(self.first_channel))

    @property
    def n_terms(self) -> np.ndarray:
        """Non-zero weights of each row."""
        return np.count_nonzero(self.weights, axis=(1, 2))

    def keep_rows(self, kept: np.ndarray) -> None:
        """Drop all rows but those that ``kept`` selects."""
        for name in ("weights", "first_channel", "channel", "bias", "multiplier", "shift"):
            setattr(self, name, getattr(self, name)[kept])

    def folded_bias(self, zero_points: list[int]) -> np.ndarray:
        """``bias`` with the share of the inputs' zero points, wrapped to int32: what row headers hold."""
        if self.is_max:  # an empty row's accumulator is 0, as if all its inputs were at the zero point
            share = (self.n_terms > 0) * zero_points[0] if zero_points else 0
        else:
            sources = np.array([zero_points[tap.source] for tap in self.taps], np.int64)
            share = self.weights.sum(axis=2, dtype=np.int64) @ sources
        return wrap_int32(self.bias - share)
