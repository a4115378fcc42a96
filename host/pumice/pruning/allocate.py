"""Which layer bears how much of the zeros."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ..errors import InputError


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
    sizes: Mapping[str, int], errors: Mapping[str, Mapping[float, float]], sparsity: float
) -> dict[str, float]:
    """Sparsities of layers that add the least error in sum, as if errors added up.

    Parameters
    ----------
    sizes : mapping of str to int
        Weights of each layer.
    errors : mapping of str to mapping of float to float
        For each layer, what the network's results differ by when only this layer is pruned to some sparsities, the
        largest of them 1; in between errors are taken as linear.
    sparsity : float
        Of all weights together.
    """
    if not 0 <= sparsity <= 1:
        raise InputError(f"sparsity must be 0..1, not {sparsity}")
    segments = []  # error per weight, layer, from which sparsity to which
    for name, size in sizes.items():
        hull = _lower_hull([(0.0, 0.0), *sorted(errors[name].items())])
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
