"""Planes and padding of every tensor.

Flattened positions of an operation's output follow the row stride of its inputs as they are read, so row strides are
tied along chains. They are not tied across a tensor stored in phases, whose rows have a stride of their own: its maker
only has to compute enough columns for what readers need of each row, padding included.
"""

import itertools
from dataclasses import astuple, dataclass

from ..errors import CompileError
from ..graph import Tensor
from ..planes import Planes
from ..spec.config import EngineConfig
from .lanes import pools_whole_map
from .operation import Operation


@dataclass
class _Margins:
    """Zero-point positions that readers need around a phase plane."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    whole_vectors: int = 0  # 1: behind a plane's last row, up to a whole vector


def lay_out(
    operations: list[Operation],
    tensors: dict[str, Tensor],
    phases: dict[str, tuple[int, int]],
    stored: dict[str, tuple[int, ...]],
    network_inputs: tuple[str, ...],
    config: EngineConfig,
) -> dict[str, Planes]:
    """Planes of the network's inputs and of every tensor that ``operations`` read or make; sets their ``row_stride``.

    Raises
    ------
    CompileError
        Row strides of a loop of operations contradict each other.
    """
    margins = _margins(operations, tensors, phases, network_inputs)
    strides = _row_strides(operations, tensors, phases, margins)
    stored_strides = {o.output: o.row_stride for o in operations if phases[o.output] != (1, 1)}
    planes = {}
    for name, margin in margins.items():
        height, width = _phase_size(tensors[name], phases[name])
        row_stride = strides[name]
        # The engine stores whole rows of phase planes, else no byte beyond the last value.
        plane_bytes = height * row_stride if name in stored_strides else (height - 1) * row_stride + width
        before = margin.top * row_stride + margin.left
        after = (height - 1 + margin.bottom) * row_stride + width + margin.right - plane_bytes
        gap_bytes = max(before, after, margin.whole_vectors * (-plane_bytes % config.n_lanes))
        if name in stored_strides:
            # What is computed beyond the last row's end is zero point, too, and may not reach the next plane.
            gap_bytes = max(gap_bytes, -(-stored_strides[name] // 2) - row_stride)
            gap_bytes += (config.n_lanes // 2 - plane_bytes - gap_bytes) % config.n_lanes
        planes[name] = Planes(
            shape=tensors[name].shape,
            phases=phases[name],
            row_stride=row_stride,
            plane_bytes=plane_bytes,
            gap_bytes=gap_bytes,
            channels=stored[name],
            zero_point=tensors[name].zero_point,
        )
    return planes


def _phase_size(tensor: Tensor, phases: tuple[int, int]) -> tuple[int, int]:
    return -(-tensor.shape[0] // phases[0]), -(-tensor.shape[1] // phases[1])


def _margins(operations, tensors, phases, network_inputs) -> dict[str, _Margins]:
    margins = {name: _Margins() for name in network_inputs}
    for operation in operations:
        out_height, out_width, _ = tensors[operation.output].shape
        margins.setdefault(operation.output, _Margins())
        for name in operation.inputs:
            margin = margins.setdefault(name, _Margins())
            height, width = _phase_size(tensors[name], phases[name])
            rows = [tap.dy // phases[name][0] for tap in operation.taps]
            columns = [tap.dx // phases[name][1] for tap in operation.taps]
            margin.whole_vectors |= pools_whole_map(operation, tensors, phases)
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
            if phases[operation.output] != (1, 1):
                stride = max(stride, _columns_needed(operation.output, operations, tensors, phases, strides))
                operation.row_stride = stride
            elif tensors[operation.output].shape[0] > 1 and not operation.scattered:
                strides[operation.output] = stride = max(stride, strides[operation.output])
                operation.row_stride = stride
            else:  # a single row or position has no next one
                operation.row_stride = strides[operation.output]
            for name in operation.inputs:
                strides[name] = stride
            if stride >= 1 << 16:
                raise CompileError(
                    f"layer {operation.name}: its inputs come from branches whose row strides cannot agree; "
                    "give both branches the same strides"
                )
            changed |= before != [strides[name] for name in (*operation.inputs, operation.output)]
    return strides


def _columns_needed(name, operations, tensors, phases, strides) -> int:
    """Columns of a map stored in phases that readers read with rows of ``strides[name]``: its width and padding."""
    needed = tensors[name].shape[1]
    for reader in operations:
        if name in reader.inputs:
            width, step = tensors[reader.output].shape[1], phases[name][1]
            for tap in reader.taps:
                column, phase = divmod(tap.dx, step)
                last = strides[name] - 1 if column < 0 else column + width - 1  # left padding ends the row before
                needed = max(needed, last * step + phase + 1)
    return needed
