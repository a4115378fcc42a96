"""CIFAR-10 as the sheets in ``../shared/data/cifar10`` hold it, and the augmented batches of an epoch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "cifar10"
SIZE, CHANNELS = 32, 3
MAX_SHIFT = 4


def load_training(folder: Path = FOLDER, n_sheets: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 32, 32, 3) and labels int64, of the first sheets of 1000 or of all."""
    labels = np.load(folder / "train_labels.npy").astype(np.int64)
    sheets = sorted((folder / "train").glob("batch_*.png"), key=lambda path: int(path.stem.split("_")[1]))[:n_sheets]
    images = np.concatenate([np.asarray(Image.open(sheet)) for sheet in sheets])
    return images.reshape(-1, SIZE, SIZE, CHANNELS), labels[: len(images)]


def load_test(folder: Path = FOLDER) -> tuple[np.ndarray, np.ndarray]:
    """The first 500 test images, likewise."""
    with np.load(folder / "test_first500.npz", allow_pickle=False) as data:
        return data["x"], data["y"].astype(np.int64)


def to_real(images: np.ndarray) -> np.ndarray:
    """What the network computes on, float32: (pixel - 128) / 64."""
    return (images.astype(np.float32) - 128) / 64


class Augmented:
    """Batches of one epoch after another: flipped at random, shifted by up to 4 pixels; the border is mid-grey.

    Attributes
    ----------
    size : int
        Height and width of what is cut out of the images; below 32 without any border.
    convert : callable
        Bytes to what the network takes.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, batch: int,
        convert: Callable[[np.ndarray], np.ndarray] = to_real,
    ):  # fmt: skip
        pad = ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT), (0, 0))
        self.padded, self.labels, self.batch = np.pad(images, pad, constant_values=128), labels, batch
        self.size, self.convert = SIZE, convert

    def __len__(self) -> int:
        return len(self.labels) // self.batch

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of float32 (batch, 32, 32, 3) and int64 labels."""
        order = rng.permutation(len(self.labels))
        for i in range(len(self)):
            chosen = order[i * self.batch : (i + 1) * self.batch]
            images = np.empty((self.batch, self.size, self.size, CHANNELS), np.uint8)
            offsets = rng.integers(0, 2 * MAX_SHIFT + 1, (self.batch, 2)) + (MAX_SHIFT if self.size < SIZE else 0)
            flips = rng.random(self.batch) < 0.5
            for j, (index, (y, x), flip) in enumerate(zip(chosen, offsets, flips, strict=True)):
                crop = self.padded[index, y : y + self.size, x : x + self.size]
                images[j] = crop[:, ::-1] if flip else crop
            yield self.convert(images), self.labels[chosen]
