"""The UCI digits as scikit-learn carries them, and the split that training and demonstration share."""

from typing import NamedTuple

import numpy as np

from ..errors import PumiceError

PIXEL_MAX = 16
INPUT_SCALE, INPUT_ZERO_POINT = 1 / 240, -120  # pixel p (0..16) is the int8 value 15 p - 120, exactly
TEST_SHARE = 5  # one digit in five is held out
SPLIT_SEED = 2024


class Split(NamedTuple):
    """Images (n, 8, 8, 1) as float32 in 0..1, labels 0..9."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_split() -> Split:
    """1438 digits to train on and 359 held out, the same ones every time."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise PumiceError("the digits come with scikit-learn: pip install 'pumice[demo]'") from None
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / PIXEL_MAX).astype(np.float32).reshape(-1, 8, 8, 1)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    n_test = len(images) // TEST_SHARE
    test, train = order[:n_test], order[n_test:]
    return Split(images[train], labels[train], images[test], labels[test])
