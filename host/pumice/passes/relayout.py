"""One layout for all readers of a tensor; a copy where two are needed."""

from dataclasses import replace

from ..errors import CompileError
from ..graph import Tensor
from .lower import relayout
from .operation import Operation

STORED_PHASES = ((1, 1), (2, 2))
"""Layouts that the engine can write; the host writes the network's input in any."""


def insert_relayouts(
    operations: list[Operation], tensors: dict[str, Tensor], network_input: str
) -> tuple[list[Operation], dict[str, Tensor], dict[str, tuple[int, int]]]:
    """Give each tensor the phases that its readers' strides ask for.

    Returns
    -------
    operations, tensors
        With an identity operation in front of the first stride-2 reader of a tensor that is also read at stride 1.
    phases : dict of str to (int, int)
        Phases of every tensor that is read or made.

    Raises
    ------
    CompileError
        A tensor made by the engine is read at a stride other than 1 and 2, or readers disagree on other strides.
    """
    tensors, result, phases = dict(tensors), [], {}
    for name in [network_input] + [operation.output for operation in operations]:
        readers = [operation for operation in operations if name in operation.inputs]
        if name != network_input or len({reader.stride for reader in readers}) > 1:
            for reader in readers:
                reader.stride = _free_axis(reader.stride, tensors[reader.output].shape)
        strides = {reader.stride for reader in readers} or {(1, 1)}
        phases[name] = min(strides)
        is_packed_by_host = name == network_input and len(strides) == 1
        if not is_packed_by_host and not strides <= set(STORED_PHASES):
            uses = ", ".join(f"{reader.name} at stride {reader.stride}" for reader in readers)
            raise CompileError(
                f"tensor {name} is read by {uses}: inside a network strides of 1x1 and 2x2 can run, and "
                "any one stride on the network's input; replace other strides by convolutions of stride 2 in sequence, "
                "or by stride 1 and a pool of stride 2"
            )
    for operation in operations:
        (name, *_) = operation.inputs
        if operation.stride != phases[name]:
            copy = f"{name}@2x2"
            if copy not in tensors:
                tensors[copy] = replace(tensors[name], name=copy)
                phases[copy] = operation.stride
                result.append(relayout(name, copy, tensors[name].shape[2], phases[name]))
            operation.inputs = (copy,)
        result.append(operation)
    return result, tensors, phases


def _free_axis(stride: tuple[int, int], output_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Along an axis with a single output position any stride will do: take the other axis's."""
    (sy, sx), (height, width, _) = stride, output_shape
    return (sx if height == 1 else sy, sy if width == 1 else sx)
