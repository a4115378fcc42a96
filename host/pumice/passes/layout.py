"""Planes and padding of every tensor.

Flattened positions of an operation's output follow the row stride of its inputs as they are read; so row strides are
tied along chains, and a tensor stored in phases has half the stride that its maker computes with.
"""

import itertools
from dataclasses import astuple, dataclass

from ..errors import CompileError
from ..graph import Tensor
from ..planes import Planes
from .operation import Operation


@dataclass
class _Margins:
    """Zero-point positions that readers need around a phase plane."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def lay_out(
    operations: list[Operation],
    tensors: dict[str, Tensor],
    phases: dict[str, tuple[int, int]],
    stored: dict[str, tuple[int, ...]],
    network_input: str,
) -> dict[str, Planes]:
    """Planes of the network's input and of every tensor that ``operations`` read or make.

    Raises
    ------
    CompileError
        Row strides of a loop of operations contradict each other.
    """
    margins = _margins(operations, tensors, phases, network_input)
    strides = _row_strides(operations, tensors, phases, margins)
    made = {operation.output for operation in operations}
    whole = {operation.output for operation in operations if operation.row_by_row}
    planes = {}
    for name, margin in margins.items():
        height, width = _phase_size(tensors[name], phases[name])
        row_stride = strides[name]
        # The engine stores whole rows of phase planes and row by row, else no byte beyond the last value.
        whole_rows = name in whole or (name in made and phases[name] != (1, 1))
        plane_bytes = height * row_stride if whole_rows else (height - 1) * row_stride + width
        before = margin.top * row_stride + margin.left
        after = (height - 1 + margin.bottom) * row_stride + width + margin.right - plane_bytes
        planes[name] = Planes(
            shape=tensors[name].shape,
            phases=phases[name],
            row_stride=row_stride,
            plane_bytes=plane_bytes,
            gap_bytes=max(before, after, 0),
            channels=stored[name],
            zero_point=tensors[name].zero_point,
        )
    return planes


def is_tied(operation: Operation, tensors: dict[str, Tensor], phases: dict[str, tuple[int, int]]) -> bool:
    """Whether the output's row stride follows from the input's: not for a single row, which has no next one."""
    if operation.scattered or operation.row_by_row or not operation.inputs:
        return False
    return tensors[operation.output].shape[0] > 1 or phases[operation.output] != (1, 1)


def _phase_size(tensor: Tensor, phases: tuple[int, int]) -> tuple[int, int]:
    return -(-tensor.shape[0] // phases[0]), -(-tensor.shape[1] // phases[1])


def _margins(operations, tensors, phases, network_input) -> dict[str, _Margins]:
    margins = {network_input: _Margins()}
    for operation in operations:
        out_height, out_width, _ = tensors[operation.output].shape
        margins.setdefault(operation.output, _Margins())
        for name in operation.inputs:
            margin = margins.setdefault(name, _Margins())
            height, width = _phase_size(tensors[name], phases[name])
            rows = [tap.dy // phases[name][0] for tap in operation.taps]
            columns = [tap.dx // phases[name][1] for tap in operation.taps]
            margin.top = max([margin.top] + [-row for row in rows])
            margin.left = max([margin.left] + [-column for column in columns])
            sy, sx = operation.stride if operation.scattered else (1, 1)
            last_row, last_column = (out_height - 1) * sy, (out_width - 1) * sx
            margin.bottom = max([margin.bottom] + [last_row + row + 1 - height for row in rows])
            margin.right = max([margin.right] + [last_column + column + 1 - width for column in columns])
    # Inputs of one operation have one pitch, so equal margins.
    changed = True
    while changed:
        changed = False
        for operation in operations:
            for name, other in itertools.permutations(operation.inputs, 2):
                widest = _Margins(*map(max, astuple(margins[name]), astuple(margins[other])))
                changed |= margins[name] != widest
                margins[name] = widest
    return margins


def _row_strides(operations, tensors, phases, margins) -> dict[str, int]:
    strides = {
        name: _phase_size(tensors[name], phases[name])[1] + max(margin.left, margin.right)
        for name, margin in margins.items()
    }
    changed = True
    while changed:
        changed = False
        for operation in operations:
            before = [strides[name] for name in (*operation.inputs, operation.output)]
            stride = max((strides[name] for name in operation.inputs), default=0)
            if is_tied(operation, tensors, phases):
                step = phases[operation.output][1]
                stride = max(-(-stride // step), strides[operation.output]) * step
                strides[operation.output] = stride // step
            for name in operation.inputs:
                strides[name] = stride
            if stride >= 1 << 16:
                raise CompileError(
                    f"layer {operation.name}: its inputs come from branches whose row strides cannot agree; "
                    "give both branches the same strides"
                )
            changed |= before != [strides[name] for name in (*operation.inputs, operation.output)]
    return strides
