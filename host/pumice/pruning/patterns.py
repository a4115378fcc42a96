"""Patterns of zeros: which weights of a layer may be dropped together.

A layer's weights are rows, one an output channel, of positions in the engine's order: kernel row, kernel column, input
channel. A pattern cuts a row into *groups* of neighbouring positions; see `Pattern`.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

UNSTRUCTURED, N_M, BLOCK, CHANNEL = "unstructured", "n:m", "block", "channel"
SPELLINGS = "unstructured, N:M (2:4), block:1xN (block:1x16) and channel"


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Which weights are dropped together.

    Attributes
    ----------
    kind : str
        ``unstructured``: any weight. ``n:m``: ``keep`` of every ``width`` neighbours stay. ``block``: ``width``
        neighbours at once. ``channel``: all weights of an output channel.
    width : int
        Neighbouring positions of a row in a group; those that are left at the end of a row make a shorter one.
    keep : int
        With ``n:m``.
    """

    kind: str
    width: int = 1
    keep: int = 0

    def __post_init__(self):
        if self.kind not in (UNSTRUCTURED, N_M, BLOCK, CHANNEL):
            raise InputError(f"there is no pattern {self.kind!r}; there are {SPELLINGS}")
        if self.width < 1 or (self.kind == N_M and not 1 <= self.keep < self.width):
            raise InputError(f"impossible pattern: {self.keep} of {self.width}")

    def __str__(self) -> str:
        return {N_M: f"{self.keep}:{self.width}", BLOCK: f"block:1x{self.width}"}.get(self.kind, self.kind)

    @property
    def fixed_sparsity(self) -> float | None:
        """The only sparsity of ``n:m``; None where any is possible."""
        return 1 - self.keep / self.width if self.kind == N_M else None

    def most(self, shape: tuple[int, ...]) -> float:
        """The sparsity that leaves one group of a layer's weights, whose shape is as for `mask`.

        A layer that loses all is a constant, and often the network behind it with it, which errors that are added up
        layer by layer do not show.
        """
        n_positions = math.prod(shape[1:])
        return 1 - 1 / (shape[0] * math.ceil(n_positions / self._group_width(n_positions)))

    def _group_width(self, n_positions: int) -> int:
        return {UNSTRUCTURED: 1, CHANNEL: n_positions}.get(self.kind, self.width)

    def mask(self, saliency: np.ndarray, sparsity: float) -> np.ndarray:
        """What to keep, bool, in the shape of the weights.

        Parameters
        ----------
        saliency : ndarray of float, (out channels, kernel height, kernel width, in channels / groups)
            What dropping each weight costs, at least 0; of a group, costs add up.
        sparsity : float
            Share of the weights to drop, 0 .. 1, rounded to a whole number of groups. With ``n:m`` from 0 to its own
            share, which groups of neighbours then go down to ``keep`` first being decided by their cost.
        """
        if not 0 <= sparsity <= 1:
            raise InputError(f"sparsity must be 0..1, not {sparsity}")
        rows = saliency.reshape(len(saliency), -1)
        width = self._group_width(rows.shape[1])
        n_groups = math.ceil(rows.shape[1] / width)
        padded = np.pad(rows, ((0, 0), (0, n_groups * width - rows.shape[1])))
        groups = padded.reshape(-1, width)
        if self.kind == N_M:
            kept = _keep_n(groups, self.keep, min(1.0, sparsity / (1 - self.keep / self.width)))
        else:
            kept = np.repeat(_keep_largest(groups.sum(axis=1), sparsity)[:, None], width, axis=1)
        return kept.reshape(padded.shape)[:, : rows.shape[1]].reshape(saliency.shape)


def _keep_largest(costs: np.ndarray, sparsity: float) -> np.ndarray:
    kept = np.ones(len(costs), bool)
    kept[np.argsort(costs, kind="stable")[: round(sparsity * len(costs))]] = False
    return kept


def _keep_n(groups: np.ndarray, keep: int, share: float) -> np.ndarray:
    """Every group's ``keep`` largest, in the ``share`` of the groups where that costs least."""
    order = np.argsort(groups, axis=1, kind="stable")
    kept = np.ones(groups.shape, bool)
    np.put_along_axis(kept, order[:, : groups.shape[1] - keep], False, axis=1)
    dense = _keep_largest(np.where(kept, 0.0, groups).sum(axis=1), share)
    return kept | dense[:, None]


def parse_pattern(text: str) -> Pattern:
    """The pattern that ``unstructured``, ``2:4``, ``block:1x16`` or ``channel`` names.

    Raises
    ------
    InputError
        None of these.
    """
    if text in (UNSTRUCTURED, CHANNEL):
        return Pattern(kind=text)
    if match := re.fullmatch(r"(\d{1,4}):(\d{1,4})", text):
        return Pattern(kind=N_M, keep=int(match[1]), width=int(match[2]))
    if match := re.fullmatch(r"block:1x(\d{1,4})", text):
        return Pattern(kind=BLOCK, width=int(match[1]))
    raise InputError(f"there is no pattern {text!r}; there are {SPELLINGS}")
