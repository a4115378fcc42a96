"""Which layer bears how much of the zeros."""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ..errors import InputError

STEP = 0.05  # of the sparsities that are considered
LEAST_ERROR = 1e-12


def layer_adaptive(weights: Mapping[str, np.ndarray], sparsity: float) -> dict[str, float]:
    """Sparsities of layers from their weights alone: layer-adaptive magnitude (LAMP; Lee et al., 2021).

    A weight's score is its square over the sum of the squares of all in its layer that are not smaller; the smallest
    scores of the network go. The largest weight of a layer scores 1, so that no layer loses all.
    """
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity must be 0 or more and less than 1, not {sparsity}")
    scores = {}
    for name, values in weights.items():
        squares = np.sort(np.square(values, dtype=np.float64), axis=None)
        scores[name] = squares / np.maximum(np.cumsum(squares[::-1])[::-1], 1e-300)
    every = np.sort(np.concatenate(list(scores.values())))
    threshold = every[min(round(sparsity * len(every)), len(every) - 1)]
    return {name: float(np.mean(values < threshold)) for name, values in scores.items()}


def by_sensitivity(
    sizes: Mapping[str, int],
    errors: Mapping[str, Mapping[float, float]],
    sparsity: float,
    most: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Sparsities of layers that add the least error in sum, as if errors added up.

    Parameters
    ----------
    sizes : mapping of str to int
        Weights of each layer.
    errors : mapping of str to mapping of float to float
        For each layer, what the network's results differ by when only this layer is pruned to some sparsities, the
        largest of them 1; in between errors are taken as powers of the sparsity.
    sparsity : float
        Of all weights together.
    most : mapping of str to float
        The largest sparsity of each layer; default 1.

    Raises
    ------
    InputError
        A sparsity out of range, or one that ``most`` does not allow.
    """
    if not 0 <= sparsity <= 1:
        raise InputError(f"sparsity must be 0..1, not {sparsity}")
    most = most or dict.fromkeys(sizes, 1.0)
    possible = sum(most[name] * size for name, size in sizes.items()) / sum(sizes.values())
    if sparsity > possible + 1e-9:
        raise InputError(f"at most {possible:.4%} of the weights can be dropped, not {sparsity:.4%}")
    segments = []  # error per weight, layer, from which sparsity to which
    for name, size in sizes.items():
        hull = _lower_hull(_up_to(most[name], [(0.0, 0.0), *_in_between(sorted(errors[name].items()))]))
        for (low, error_low), (high, error_high) in pairwise(hull):
            slope = (error_high - error_low) / ((high - low) * size)
            segments.append((slope, low, name, high))
    shares = dict.fromkeys(sizes, 0.0)
    to_drop = sparsity * sum(sizes.values())
    for _, low, name, high in sorted(segments):  # of a layer in order, its errors being convex
        n = min(to_drop, (high - low) * sizes[name])
        shares[name] += n / sizes[name]
        to_drop -= n
    return shares


def _in_between(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points at least as dense as `STEP`, errors being straight lines where both scales are logarithmic."""
    x, y = points[0]
    first = min(STEP, x / 2), y * (min(STEP, x / 2) / x) ** 2  # below the first, as the square
    made = [first]
    for (x0, y0), (x1, y1) in pairwise([first, *points]):
        y0, y1 = max(y0, LEAST_ERROR), max(y1, LEAST_ERROR)
        places = np.linspace(x0, x1, max(2, math.ceil((x1 - x0) / STEP) + 1))[1:]
        made += [(float(x), float(y0 * (x / x0) ** (math.log(y1 / y0) / math.log(x1 / x0)))) for x in places]
    return made


def _up_to(most: float, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points below ``most``, and one there."""
    x, y = zip(*points, strict=True)
    return [*(point for point in points if point[0] < most), (most, float(np.interp(most, x, y)))]


def _lower_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The convex curve below points that increase in their first coordinate."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (y1 - y0) * (x - x0) <= (y - y0) * (x1 - x0):
                break
            hull.pop()
        hull.append((x, y))
    return hull
