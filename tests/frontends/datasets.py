"""Real data sets beside the repository: MNIST and CIFAR-10."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

CIFAR_SIDE = 32
PNG_HEAD_BYTES = 8


class Samples(NamedTuple):
    """Training images to calibrate with, test images and their labels; bytes (n, height, width, channels)."""

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray


def mnist(folder: Path, n_train: int) -> Samples:
    """The first training images, and all test images."""
    train, test, labels = (
        _idx(folder / name)
        for name in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    )
    return Samples(train[:n_train, ..., None], test[..., None], labels)


def cifar10(folder: Path, n_train: int) -> Samples:
    """The first training images (at most 1000), and 500 test images."""
    rows = _png(folder / "train" / "batch_0.png")[:n_train]
    with np.load(folder / "test_first500.npz") as test:
        return Samples(rows.reshape(-1, CIFAR_SIDE, CIFAR_SIDE, 3), test["x"], test["y"])


def _idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def _png(path: Path) -> np.ndarray:
    """Pixels (height, width, 3) of an RGB file of 8 bits, not interlaced."""
    data, place, packed = path.read_bytes(), PNG_HEAD_BYTES, b""
    width, height = np.frombuffer(data, ">u4", 2, PNG_HEAD_BYTES + 8).tolist()
    while place < len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        packed += data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += 12 + length
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    above, image = np.zeros((width, 3), int), []
    for line in lines:
        above = _unfilter(int(line[0]), line[1:].reshape(width, 3).astype(int), above)
        image.append(above)
    return np.array(image, np.uint8)


def _unfilter(kind: int, line: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One line of pixels; filters as in the PNG specification, section 9."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line, axis=0) & 0xFF
    if kind == 2:
        return (line + above) & 0xFF
    left, corner, result = [0, 0, 0], [0, 0, 0], []
    for pixel, up in zip(line.tolist(), above.tolist(), strict=True):
        if kind == 3:
            left = [(p + (a + b) // 2) & 0xFF for p, a, b in zip(pixel, left, up, strict=True)]
        else:
            left = [(p + _paeth(a, b, c)) & 0xFF for p, a, b, c in zip(pixel, left, up, corner, strict=True)]
        corner = up
        result.append(left)
    return np.array(result)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
