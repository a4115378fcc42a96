"""Masks of real pruned layers (the Deep Learning Matrix Collection), and values for them."""

from pathlib import Path

import numpy as np


def read_mask(path: Path) -> np.ndarray:
    """A ``.smtx`` file: rows x columns, true where the layer has a weight."""
    shape, starts, columns = (np.array(line.replace(",", " ").split(), int) for line in path.read_text().splitlines())
    mask = np.zeros(shape[:2], bool)
    mask[np.repeat(np.arange(shape[0]), np.diff(starts)), columns] = True
    return mask


def random_values(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform non-zero int8 where ``mask`` is set."""
    values = rng.integers(-127, 128, mask.shape)
    values[values == 0] = -128
    return (values * mask).astype(np.int8)
