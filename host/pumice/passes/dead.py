"""Dead channels: nobody reads them, or they hold the zero point and so add nothing."""

import numpy as np

from ..graph import Tensor
from ..spec.numerics import requantise
from .operation import Operation


def drop_dead(
    operations: list[Operation],
    tensors: dict[str, Tensor],
    network_inputs: tuple[str, ...],
    network_outputs: tuple[str, ...],
    *,
    keep: bool = False,
) -> tuple[list[Operation], dict[str, tuple[int, ...]]]:
    """Drop rows, weights and taps that cannot change the network's outputs.

    A row without weights makes a constant. Where that is the zero point, it adds nothing to any sum, padding included,
    so its readers' weights for it are dropped, in order of execution; then, backwards, rows that nobody reads.

    Parameters
    ----------
    keep : bool
        Drop nothing: what the network costs where zeros are not made use of.

    Returns
    -------
    operations : list of Operation
        Changed in place; those without rows are left out.
    stored : dict of str to tuple of int
        Channels of each tensor that have a plane, ascending. Inputs of one operation have the same ones. A channel
        without a plane is not read.
    """
    if keep:
        everything = {name: set(range(tensor.shape[2])) for name, tensor in tensors.items()}
        return operations, _stored_channels(operations, tensors, everything)
    _drop_zero_points(operations, tensors)
    live = _live_channels(operations, tensors, network_outputs)
    for operation in operations:
        operation.keep_rows(np.isin(operation.channel, sorted(live[operation.output])))
        _drop_unread(operation)
    operations = [operation for operation in operations if len(operation.channel)]
    for name in network_inputs:
        live[name] = live[name] or {0}
    return operations, _stored_channels(operations, tensors, live)


def _drop_zero_points(operations: list[Operation], tensors: dict[str, Tensor]) -> None:
    silent: dict[str, set[int]] = {}
    for operation in operations:
        reads = operation.first_channel[:, None] + np.arange(operation.weights.shape[2])
        for t, tap in enumerate(operation.taps):
            quiet = np.isin(reads, sorted(silent.get(operation.inputs[tap.source], ())))
            operation.weights[:, t][quiet] = 0
        output = tensors[operation.output]
        constant = requantise(
            0, operation.bias, operation.multiplier, operation.shift, output.zero_point, operation.low, operation.high
        )
        is_silent = (operation.n_terms == 0) & (constant == output.zero_point)
        silent[operation.output] = set(operation.channel[is_silent].tolist())


def _live_channels(
    operations: list[Operation], tensors: dict[str, Tensor], network_outputs: tuple[str, ...]
) -> dict[str, set[int]]:
    live: dict[str, set[int]] = {name: set() for name in tensors}
    for name in network_outputs:
        live[name] = set(range(tensors[name].shape[2]))
    for operation in reversed(operations):
        rows = np.isin(operation.channel, sorted(live[operation.output]))
        for t, tap in enumerate(operation.taps):
            row, c = np.nonzero(operation.weights[:, t] * rows[:, None])
            live[operation.inputs[tap.source]].update((operation.first_channel[row] + c).tolist())
    return live


def _drop_unread(operation: Operation) -> None:
    """Drop taps without weights, and inputs without taps."""
    used = np.any(operation.weights, axis=(0, 2))
    operation.weights = operation.weights[:, used]
    taps = [tap for tap, keep in zip(operation.taps, used, strict=True) if keep]
    sources = sorted({tap.source for tap in taps})
    operation.inputs = tuple(operation.inputs[source] for source in sources)
    operation.taps = [tap._replace(source=sources.index(tap.source)) for tap in taps]


def _stored_channels(
    operations: list[Operation], tensors: dict[str, Tensor], live: dict[str, set[int]]
) -> dict[str, tuple[int, ...]]:
    """Same planes for inputs of one operation (a row has one base address); all planes where rows read ranges."""
    for operation in operations:
        if operation.is_grouped:
            (name,) = operation.inputs
            live[name] = set(range(tensors[name].shape[2]))
    changed = True
    while changed:
        changed = False
        for operation in operations:
            union = set[int]().union(*(live[name] for name in operation.inputs))
            for name in operation.inputs:
                changed |= live[name] != union
                live[name] = union
    return {name: tuple(sorted(channels)) for name, channels in live.items()}
