"""Second-order pruning of one layer: which weights cost least, and what the others must become.

The optimal brain surgeon (Hassibi and Stork, 1993) applied to the least-squares problem of a layer, as in optimal
brain compression (Frantar and Alistarh, 2022): dropping weights changes the layer's results by a known amount, and the
weights that stay are moved to make up for it. Where earlier layers are pruned already, the layer is fitted to give the
results of the original network from the inputs that it now gets. No labels, no training.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..golden import window_taps
from ..graph import Window
from .patterns import BLOCK, CHANNEL, Pattern

DAMPING = 0.01  # of the mean variance of the inputs: holds weights near the original where samples say little
N_ROUNDS = 8
POSITIONS_CHUNK = 1 << 16
MAX_POSITIONS = 1 << 17  # of all samples: beyond that moments hardly change, and cost most of the time


@dataclass(kw_only=True)
class Moments:
    """Statistics of a layer's inputs over samples and output positions, one set for each group of channels.

    ``x`` are the inputs of a row in the original network, ``y`` in the pruned one, ``k`` of them.

    Attributes
    ----------
    mean_x, mean_y : ndarray, (groups, k)
    cross : ndarray, (groups, k, k)
        Mean of ``(x - mean_x) (y - mean_y)^T``.
    own : ndarray, (groups, k, k)
        Mean of ``(y - mean_y) (y - mean_y)^T``.
    owed : ndarray, (groups, rows, k), or float 0
        Mean of ``(o - mean_owed) (y - mean_y)^T``, ``o`` being what the layer's results shall have on top of the
        original ones.
    mean_owed : ndarray, (groups, rows), or float 0
    """

    mean_x: np.ndarray
    mean_y: np.ndarray
    cross: np.ndarray
    own: np.ndarray
    owed: np.ndarray | float = 0.0
    mean_owed: np.ndarray | float = 0.0

    @property
    def damping(self) -> np.ndarray:
        """What is added to the variances, (groups, 1, 1)."""
        variances = np.einsum("gkk->g", self.own) / self.own.shape[1]
        return np.maximum(DAMPING * variances, 1e-12)[:, None, None]


def moments(x: np.ndarray, y: np.ndarray, window: Window, groups: int, owed: np.ndarray | None = None) -> Moments:
    """Statistics of the inputs ``x`` (original) and ``y`` (pruned), float (n, height, width, channels) each.

    ``owed``: what the layer's results shall have on top of the original ones, (n, height, width, channels).
    Of very many positions only some are taken, evenly.
    """
    n_positions = 0
    sums: list = [0.0] * 6
    step = (len(x) * math.prod(window.output_size(*x.shape[1:3])) // MAX_POSITIONS) | 1  # odd: meets all columns
    for i, chunk in _chunks(x, window):
        rows_x, rows_y = (_rows(values[i : i + chunk], window, groups)[:, ::step] for values in (x, y))
        n_positions += rows_x.shape[1]
        sums[0] += rows_x.sum(axis=1)
        sums[1] += rows_y.sum(axis=1)
        sums[2] += rows_x.transpose(0, 2, 1) @ rows_y
        sums[3] += rows_y.transpose(0, 2, 1) @ rows_y
        if owed is not None:
            part = owed[i : i + chunk].astype(np.float64)
            rows_owed = part.reshape(-1, groups, part.shape[3] // groups)[::step].transpose(1, 2, 0)
            sums[4] += rows_owed @ rows_y
            sums[5] += rows_owed.sum(axis=2)
    mean_x, mean_y, cross, own, product, mean_owed = (total / n_positions for total in sums)
    return Moments(
        mean_x=mean_x,
        mean_y=mean_y,
        cross=cross - mean_x[:, :, None] * mean_y[:, None, :],
        own=own - mean_y[:, :, None] * mean_y[:, None, :],
        owed=0.0 if owed is None else product - mean_owed[:, :, None] * mean_y[:, None, :],
        mean_owed=mean_owed,
    )


def _chunks(x: np.ndarray, window: Window) -> Iterator[tuple[int, int]]:
    """First sample and number of samples of parts that are treated at once."""
    height, width = window.output_size(*x.shape[1:3])
    chunk = max(1, POSITIONS_CHUNK // (height * width))
    return ((i, chunk) for i in range(0, len(x), chunk))


def _rows(x: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """What output positions see, (groups, positions, k) in float64."""
    taps = [tap.reshape(-1, groups, tap.shape[3] // groups) for tap in window_taps(x, window)]
    return np.concatenate(taps, axis=2).transpose(1, 0, 2).astype(np.float64)


def fit(
    weights: np.ndarray, bias: np.ndarray, statistics: Moments, groups: int, pattern: Pattern, sparsity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pruned weights and bias that give the original results best, in the sense of least squares.

    Parameters
    ----------
    weights : ndarray, (out channels, kernel height, kernel width, in channels / groups)
    bias : ndarray of float, (out channels,)
    sparsity : float
        Share of the weights to drop, as for `Pattern.mask`.
    """
    steps = sparsity * np.arange(1, N_ROUNDS + 1) / N_ROUNDS
    *_, fitted = fit_path(weights, bias, statistics, groups, pattern, steps)
    return fitted


def fit_path(
    weights: np.ndarray, bias: np.ndarray, statistics: Moments, groups: int, pattern: Pattern,
    sparsities: Iterable[float],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """As `fit`, for each of ``sparsities``, which rise.

    From one to the next those weights go that cost least when all others make up for them; these are then fitted anew.
    """
    rows = weights.reshape(groups, len(weights) // groups, -1).astype(np.float64)
    damping = statistics.damping * np.eye(rows.shape[2])
    own = statistics.own + damping
    targets = rows @ (statistics.cross + damping) + statistics.owed
    kept = np.ones(rows.shape, bool)
    for sparsity in sparsities:
        _, cost = _solve(own, targets, kept, pattern)
        kept = pattern.mask(cost.reshape(weights.shape), sparsity).reshape(rows.shape)
        fitted, _ = _solve(own, targets, kept, None)
        shift = np.einsum("grk,gk->gr", rows, statistics.mean_x) - np.einsum("grk,gk->gr", fitted, statistics.mean_y)
        yield fitted.reshape(weights.shape), bias + (shift + statistics.mean_owed).reshape(-1)


def _solve(
    own: np.ndarray, targets: np.ndarray, kept: np.ndarray, pattern: Pattern | None
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares on the weights that are kept, and what dropping each of them costs; 0 for those that are gone."""
    fitted, cost = np.zeros(kept.shape), np.zeros(kept.shape)
    for group, supports in enumerate(kept):
        whole = np.linalg.inv(own[group]) if pattern is not None else None
        for i, support in enumerate(supports):
            chosen = np.flatnonzero(support)
            if whole is None or pattern is None:
                fitted[group, i, chosen] = np.linalg.solve(
                    own[group][np.ix_(chosen, chosen)], targets[group, i, chosen]
                )
                continue
            inverse = _inverse(own[group], whole, chosen, np.flatnonzero(~support))
            row = inverse @ targets[group, i, chosen]
            fitted[group, i, chosen] = row
            cost[group, i, chosen] = _costs(row, inverse, chosen, own[group], pattern)
    return fitted, cost


def _inverse(matrix: np.ndarray, inverse: np.ndarray, chosen: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The inverse of the matrix's rows and columns ``chosen``, from the ``inverse`` of all where that is cheaper."""
    if len(gone) > len(chosen):
        return np.linalg.inv(matrix[np.ix_(chosen, chosen)])
    if not len(gone):
        return inverse
    between = inverse[np.ix_(gone, chosen)]
    return inverse[np.ix_(chosen, chosen)] - between.T @ np.linalg.solve(inverse[np.ix_(gone, gone)], between)


def _costs(row: np.ndarray, inverse: np.ndarray, chosen: np.ndarray, own: np.ndarray, pattern: Pattern) -> np.ndarray:
    """What dropping each weight of a fitted row costs; weights that go together share what they cost together."""
    if pattern.kind == CHANNEL:
        return np.full(len(row), row @ own[np.ix_(chosen, chosen)] @ row / max(len(row), 1))
    if pattern.kind != BLOCK:
        return row**2 / np.diag(inverse)
    found = np.empty(len(row))
    for block in np.unique(chosen // pattern.width):
        (inside,) = np.nonzero(chosen // pattern.width == block)
        part = row[inside]
        found[inside] = part @ np.linalg.solve(inverse[np.ix_(inside, inside)], part) / len(inside)
    return found
