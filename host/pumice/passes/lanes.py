"""Average pools over whole maps: a vector of the plane a step, and the sum of all lanes."""

import numpy as np

from ..graph import Tensor
from ..planes import Planes
from ..spec.config import EngineConfig
from .operation import Operation, Tap


def pools_whole_map(operation: Operation, tensors: dict[str, Tensor], phases: dict[str, tuple[int, int]]) -> bool:
    """Whether the operation adds up every position of a map that lies in one plane, and nothing else."""
    if operation.kind != "average" or not operation.inputs or phases[operation.inputs[0]] != (1, 1):
        return False
    height, width, _ = tensors[operation.inputs[0]].shape
    positions = [Tap(0, y, x) for y in range(height) for x in range(width)]
    return operation.taps == positions * (len(operation.taps) // len(positions))


def n_vectors(source: Planes, config: EngineConfig) -> int:
    """Vectors that cover a plane."""
    return -(-source.plane_bytes // config.n_lanes)


def sum_lanes(
    operations: list[Operation],
    tensors: dict[str, Tensor],
    phases: dict[str, tuple[int, int]],
    planes: dict[str, Planes],
    config: EngineConfig,
) -> None:
    """Turn pools over whole maps into sums over lanes where that takes fewer steps.

    Padding and what follows the plane in its last vector add the zero point (`lay_out` sees to that), which the bias
    takes away again as it does for every tap, here in each lane.
    """
    for operation in operations:
        if not pools_whole_map(operation, tensors, phases):
            continue
        source = planes[operation.inputs[0]]
        n_positions, n_taps = source.shape[0] * source.shape[1], n_vectors(source, config)
        if n_taps < n_positions:
            terms = operation.weights[:, ::n_positions]  # all positions have one weight
            operation.taps = [Tap(0, 0, i * config.n_lanes) for i in range(n_taps)] * terms.shape[1]
            operation.weights = terms.repeat(n_taps, axis=1)
            share = operation.weights.sum(axis=(1, 2), dtype=np.int64) * source.zero_point
            operation.bias = operation.bias - (config.n_lanes - 1) * share
            operation.lane_sum = True
