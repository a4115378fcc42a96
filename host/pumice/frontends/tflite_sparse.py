"""TensorFlow Lite's sparse encoding to dense arrays.

``SparsityParameters`` of the schema, ``tensorflow/lite/schema/schema.fbs``: the dimensions of the tensor, then those of
blocks of some of them, are walked in ``traversal_order``; each level is dense or lists its indices (CSR).
"""

import math

import numpy as np
import tflite

from ..errors import ModelError

MAX_ELEMENTS = 1 << 26  # a small file can state a huge sparse tensor
_VECTORS = {
    tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
    tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
    tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
}


def densify(name: str, sparsity: tflite.SparsityParameters, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The dense array of ``shape``, zero where ``values`` has nothing. ModelError: the parameters do not fit."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"tensor {name}: a sparse tensor of shape {shape}, more than {MAX_ELEMENTS} elements")
    order, block_map = _integers(sparsity.TraversalOrderAsNumpy()), _integers(sparsity.BlockMapAsNumpy())
    rank, n_levels = len(shape), sparsity.DimMetadataLength()
    if (
        n_levels != len(order)
        or n_levels != rank + len(block_map)
        or sorted(order) != list(range(n_levels))
        or any(not 0 <= axis < rank for axis in block_map)
        or len(set(block_map)) != len(block_map)
    ):
        raise ModelError(f"tensor {name}: traversal order {order} and block map {block_map} for shape {shape}")
    levels = [level for i in range(n_levels) if (level := sparsity.DimMetadata(i)) is not None]
    coordinates = _walk(name, levels, math.prod(shape))
    if coordinates.shape[1] != values.size:
        raise ModelError(f"tensor {name}: {values.size} values for {coordinates.shape[1]} places")
    place = dict(zip(order, coordinates, strict=True))
    indices = [place[axis] for axis in range(rank)]
    for i, axis in enumerate(block_map):
        size = levels[order.index(rank + i)].DenseSize()
        indices[axis] = indices[axis] * size + place[rank + i]
    if any(index.size and not 0 <= index.min() <= index.max() < n for index, n in zip(indices, shape, strict=True)):
        raise ModelError(f"tensor {name}: sparse indices leave its shape {shape}")
    dense = np.zeros(shape, values.dtype)
    dense[tuple(indices)] = values
    return dense


def _walk(name: str, levels: list[tflite.DimensionMetadata], n_elements: int) -> np.ndarray:
    """Coordinates of every value in each level, (levels, values)."""
    coordinates = np.empty((0, 1), np.int64)
    for level in levels:
        n_nodes = coordinates.shape[1]
        if level.Format() == tflite.DimensionType.DENSE:
            size = level.DenseSize()
            if not 0 < size * n_nodes <= n_elements:
                raise ModelError(f"tensor {name}: a dense level of {size} in {n_nodes} places")
            counts, own = np.full(n_nodes, size), np.tile(np.arange(size), n_nodes)
        else:
            segments = _vector(name, level.ArraySegmentsType(), level.ArraySegments())
            own = _vector(name, level.ArrayIndicesType(), level.ArrayIndices())
            counts = np.diff(segments)
            if len(segments) != n_nodes + 1 or segments[0] != 0 or segments[-1] != len(own) or np.any(counts < 0):
                raise ModelError(f"tensor {name}: sparse segments that do not fit {len(own)} indices")
        coordinates = np.vstack([np.repeat(coordinates, counts, axis=1), own[None]])
    return coordinates


def _vector(name: str, kind: int, table) -> np.ndarray:
    if kind not in _VECTORS or table is None:
        raise ModelError(f"tensor {name}: sparse indices of kind {kind}")
    vector = _VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    values = vector.ValuesAsNumpy()
    return values.astype(np.int64) if isinstance(values, np.ndarray) else np.empty(0, np.int64)


def _integers(values) -> list[int]:
    return values.tolist() if isinstance(values, np.ndarray) else []
