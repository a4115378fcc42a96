"""One layout for all readers of a tensor; a copy where two are needed.

Layers inside a network with a stride other than 1 and 2 are scattered: each output position is computed on its own, by
one lane. What they write has no padding, so a copy of it, which has, follows.
"""

from dataclasses import replace

from ..errors import CompileError
from ..graph import Tensor
from .lower import relayout
from .operation import Operation

STORED_PHASES = ((1, 1), (2, 2))
"""Layouts that the engine can write; the host writes the network's input in any."""

MAX_SCATTERED_ROWS = 1 << 15
"""Half of what the row table of a core can count."""


def insert_relayouts(
    operations: list[Operation], tensors: dict[str, Tensor], network_inputs: tuple[str, ...]
) -> tuple[list[Operation], dict[str, Tensor], dict[str, tuple[int, int]]]:
    """Give each tensor the phases that its readers' strides ask for.

    Returns
    -------
    operations, tensors
        With an identity operation in front of the first stride-2 reader of a tensor that is also read at stride 1, and
        behind each scattered operation.
    phases : dict of str to (int, int)
        Phases of every tensor that is read or made.

    Raises
    ------
    CompileError
        A scattered operation has too many rows.
    """
    tensors, result, phases = dict(tensors), [], {}
    for name in [*network_inputs, *(operation.output for operation in operations)]:
        readers = [operation for operation in operations if name in operation.inputs]
        if name not in network_inputs or len({reader.stride for reader in readers}) > 1:
            for reader in readers:
                reader.stride = _free_axis(reader.stride, tensors[reader.output].shape)
                reader.scattered = reader.stride not in STORED_PHASES
        phases[name] = min({_phases_read(reader) for reader in readers} or {(1, 1)})
    for operation in operations:
        (name, *_) = operation.inputs
        if _phases_read(operation) != phases[name]:
            copy = f"{name}@2x2"
            if copy not in tensors:
                tensors[copy] = replace(tensors[name], name=copy)
                phases[copy] = operation.stride
                result.append(relayout(name, copy, tensors[name].shape[2], phases[name]))
            operation.inputs = (copy,)
        result.append(operation)
        if operation.scattered:
            result.append(_scatter(operation, tensors, phases))
    return result, tensors, phases


def _phases_read(operation: Operation) -> tuple[int, int]:
    return (1, 1) if operation.scattered else operation.stride


def _scatter(operation: Operation, tensors: dict[str, Tensor], phases: dict[str, tuple[int, int]]) -> Operation:
    """Let an operation write a tensor of its own; the copy of that to the tensor that it is to make."""
    made = tensors[operation.output]
    height, width, n_channels = made.shape
    if height * width * n_channels > MAX_SCATTERED_ROWS:
        raise CompileError(
            f"layer {operation.name} has stride {operation.stride}: inside a network strides other than 1x1 and 2x2 "
            f"take a row of the row table for each of its {height * width * n_channels} outputs, where up to "
            f"{MAX_SCATTERED_ROWS} are possible; use convolutions or pools of stride 2 in sequence"
        )
    operation.output = f"{made.name}@scattered"
    tensors[operation.output], phases[operation.output] = replace(made, name=operation.output), (1, 1)
    return relayout(operation.output, made.name, n_channels, (1, 1))


def _free_axis(stride: tuple[int, int], output_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Along an axis with a single output position any stride will do: take the other axis's."""
    (sy, sx), (height, width, _) = stride, output_shape
    return (sx if height == 1 else sy, sy if width == 1 else sx)
