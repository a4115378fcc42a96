"""Row strides of layers of stride 2 that are better not tied.

A layer whose output positions follow its input's row stride ties the two (see `layout`), and each level of stride 2
doubles what the level below it needs for padding: 3 x 3 maps with one column of padding need rows of 16 * 4 where the
maps are 48 wide. A layer that computes each output row on its own, as a row of the row table for each, is not tied. It
repeats its weights for each output row and uses the lanes of one row only, so it pays where rows nearly fill the lanes
or where what stands before it is large.
"""

from ..graph import Tensor
from ..planes import Planes
from ..spec.config import EngineConfig
from .cycles import estimate_cycles
from .layout import lay_out
from .operation import Operation

MAX_ROWS = 4096
"""Rows of a layer that is computed row by row: its row table takes two words for each."""


def untie(
    operations: list[Operation],
    tensors: dict[str, Tensor],
    phases: dict[str, tuple[int, int]],
    stored: dict[str, tuple[int, ...]],
    network_input: str,
    config: EngineConfig,
) -> dict[str, Planes]:
    """Set ``row_by_row`` of layers of stride 2, last first, where that saves cycles; the planes then."""

    def plan() -> tuple[int, dict[str, Planes]]:
        planes = lay_out(operations, tensors, phases, stored, network_input)
        return sum(estimate_cycles(o, planes[o.output], config) for o in operations), planes

    best, planes = plan()
    for operation in reversed(operations):
        height = tensors[operation.output].shape[0]
        is_strided = any(phases[name] != (1, 1) for name in operation.inputs)
        if not is_strided or phases[operation.output] != (1, 1) or height * len(operation.channel) > MAX_ROWS:
            continue
        operation.row_by_row = True
        cycles, planes_untied = plan()
        if cycles < best:
            best, planes = cycles, planes_untied
        else:
            operation.row_by_row = False
    return planes
