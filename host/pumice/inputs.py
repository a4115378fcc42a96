"""Samples for a network, from files."""

import math
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError

import numpy as np

from .errors import InputError
from .floating import FloatGraph
from .golden import quantise
from .graph import Graph, Tensor

RAW_SUFFIXES = (".dat", ".bin")
IMAGE_SCALES = (1.0, 1 / 255)  # an image's bytes stand for 0..255 or 0..1

NPY_ERRORS = (ValueError, EOFError, TypeError, OverflowError, SyntaxError, TokenError)
"""What numpy raises on a damaged ``.npy`` file, whose header it reads as a Python literal."""


def load_input(path: str | Path, graph: Graph) -> np.ndarray:
    """Samples of a ``.npy`` file, or of raw int8 bytes (``.dat``, ``.bin``) without a header.

    Parameters
    ----------
    path : path
        An array as in `convert_input`, or bytes: one sample after the other, each row-major.
    graph : Graph

    Returns
    -------
    ndarray of int8, (n, height, width, channels)
        ``n`` samples, at least one, each in the shape of the graph's input tensor.

    Raises
    ------
    InputError
        The file cannot be read, or its kind, dtype, shape or length is wrong.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix in RAW_SUFFIXES:
            return _split(path.read_bytes(), graph)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if suffix == ".npy":
        return _read_npy(path, lambda array: convert_input(array, graph))
    raise InputError(f"{path}: unknown kind of file; expected .npy, or raw int8 bytes in {' or '.join(RAW_SUFFIXES)}")


def _read_npy(path: Path, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    try:
        return convert(np.lib.format.open_memmap(path, mode="r"))  # allocates nothing that is forged
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except NPY_ERRORS as error:
        raise InputError(f"{path}: no valid .npy file: {error}") from error


def convert_input(array: np.ndarray, graph: Graph) -> np.ndarray:
    """Samples as int8 in the shape of the graph's input tensor, (n, height, width, channels).

    Parameters
    ----------
    array : ndarray
        One sample or several: its shape is that of the model file's input, of the input tensor, or of a sample without
        batch, each possibly behind a dimension of ``n`` (which replaces a batch of 1); or channels first instead of
        last, where the shape leaves no doubt. Values: int8 as they are; float in real units, quantised here; uint8
        where the input is an image's bytes less 128, that is with zero point -128 and a scale of 1 or 1/255.
    graph : Graph

    Raises
    ------
    InputError
        Another shape or dtype, no sample, or a real value that is not finite.
    """
    tensor = graph.tensors[graph.input]
    return _integers(_arrange(array, graph, tensor.shape), tensor)


def convert_samples(array: np.ndarray, graph: FloatGraph) -> np.ndarray:
    """Samples in real units as float32 in the shape of a float network's input, (n, height, width, channels).

    ``array``: shapes as for `convert_input`, floating point. Raises InputError as that.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"dtype {array.dtype}, but the network takes floating point in real units")
    samples = _arrange(array, graph, graph.shapes[graph.input]).astype(np.float32)
    if not np.all(np.isfinite(samples)):
        raise InputError("real values must be finite in float32, and some are not")
    return samples


def load_samples(path: str | Path, graph: FloatGraph) -> np.ndarray:
    """Samples of a ``.npy`` file; see `convert_samples`. InputError: it cannot be read, or does not fit."""
    return _read_npy(Path(path), lambda array: convert_samples(array, graph))


def _arrange(array: np.ndarray, graph: Graph | FloatGraph, shape: tuple[int, int, int]) -> np.ndarray:
    """(n, height, width, channels); channels first are taken too where the shape leaves no doubt."""
    sample = graph.input_shape[1:]
    shapes = {graph.input_shape, sample, shape}
    fits = array.shape in shapes or array.shape[1:] in shapes - {graph.input_shape}
    if not fits and array.ndim >= 3 and array.shape[-3:] == (shape[2], *shape[:2]) and array.ndim <= 4:
        array, fits = np.moveaxis(array, -3, -1), True
    if not fits:
        raise InputError(
            f"shape {array.shape} does not fit network {graph.name}: expected {graph.input_shape}, "
            f"or {('n', *sample)} for n samples"
        )
    if array.size == 0:
        raise InputError(f"no sample: shape {array.shape}")
    return array.reshape(-1, *shape)


def _integers(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    if array.dtype == np.int8:
        return np.array(array)
    if np.issubdtype(array.dtype, np.floating):
        if not np.all(np.isfinite(array)):
            raise InputError("real values must be finite, and some are NaN or infinite")
        return quantise(tensor, array)
    is_image = tensor.zero_point == -128 and any(math.isclose(tensor.scale, s, rel_tol=1e-4) for s in IMAGE_SCALES)
    if array.dtype == np.uint8 and is_image:
        return (array ^ 0x80).view(np.int8)  # less 128
    raise InputError(
        f"dtype {array.dtype} is ambiguous for an input of scale {tensor.scale:g} and zero point {tensor.zero_point}: "
        "expected int8 as the network reads it, or float in real units"
    )


def _split(data: bytes, graph: Graph) -> np.ndarray:
    shape = graph.tensors[graph.input].shape
    n_bytes = math.prod(shape)
    if not data or len(data) % n_bytes:
        raise InputError(
            f"{len(data)} bytes do not fit network {graph.name}: expected {n_bytes} for a sample of int8 {shape}, "
            "or a multiple of that"
        )
    return np.frombuffer(data, np.int8).reshape(-1, *shape)
