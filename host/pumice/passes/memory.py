"""Addresses of tensors in activation memory."""

from collections.abc import Collection, Mapping, Sequence

from ..planes import Planes
from .operation import Operation

_Lives = dict[str, list[tuple[int, int]]]
"""First and last operation that need a tensor's region, of each span of them."""


def place(
    operations: list[Operation],
    planes: Mapping[str, Planes],
    network_inputs: Sequence[str],
    network_outputs: Sequence[str],
    *,
    names: Collection[str] | None = None,
) -> dict[str, int]:
    """Byte address, a multiple of 8, of each tensor's region.

    Regions of tensors that live at the same time, from the operation that makes one to the last that reads it, do not
    overlap. First fit, in several orders; the order that takes least counts.

    Parameters
    ----------
    names : collection of str, optional
        Tensors to place; default: all.
    """
    lives = lifetimes(operations, network_inputs, network_outputs)
    return _best_fit({name: [life] for name, life in lives.items() if names is None or name in names}, planes)


def place_overlapped(
    operations: list[Operation],
    planes: Mapping[str, Planes],
    network_inputs: Sequence[str],
    network_outputs: Sequence[str],
    available: int,
) -> tuple[dict[str, int], int] | None:
    """As `place`, of all tensors, so that the next sample's inputs may arrive while this one's operations run.

    The second value is the number of operations after which they may: the fewest for which ``available`` bytes suffice.
    Outputs then share their regions with no other tensor until the next sample's first operation has completed. None:
    there is no such number; the next sample has to wait for the end of this one.
    """
    lives = lifetimes(operations, network_inputs, network_outputs)
    end = len(operations)
    for arrival in range(1 + max(lives[name][1] for name in network_inputs), end):
        overlapped = {name: [life] for name, life in lives.items()}
        for name in network_inputs:
            overlapped[name].append((arrival, end))
        for name in network_outputs:
            overlapped[name].insert(0, (-1, 0))
        plan = _best_fit(overlapped, planes)
        if peak_bytes(plan, planes) <= available:
            return plan, arrival
    return None


def _best_fit(lives: _Lives, planes: Mapping[str, Planes]) -> dict[str, int]:
    """The plan that takes least, of several orders."""
    orders = (
        sorted(lives, key=lambda name: -planes[name].n_bytes),
        sorted(lives, key=lambda name: lives[name][-1][0]),
        sorted(lives, key=lambda name: (lives[name][-1][0] - lives[name][-1][1], -planes[name].n_bytes)),
        sorted(lives, key=lambda name: -lives[name][-1][1]),
    )
    return min((_first_fit(order, lives, planes) for order in orders), key=lambda plan: peak_bytes(plan, planes))


def peak_bytes(plan: Mapping[str, int], planes: Mapping[str, Planes]) -> int:
    """End of the highest region."""
    return max((address + planes[name].n_bytes for name, address in plan.items()), default=0)


def lifetimes(
    operations: list[Operation], network_inputs: Sequence[str], network_outputs: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """First and last operation that needs each tensor's region."""
    lives: dict[str, tuple[int, int]] = {name: (-1, 0) for name in network_inputs}
    for i, operation in enumerate(operations):
        for name in operation.inputs:
            lives[name] = (lives[name][0], i)
        lives[operation.output] = (i, i)
    for name in network_outputs:
        lives[name] = (lives[name][0], len(operations))
    return lives


def _first_fit(order, lives, planes) -> dict[str, int]:
    plan: dict[str, int] = {}
    for name in order:
        taken = sorted(
            (plan[other], plan[other] + planes[other].n_bytes) for other in plan if _meet(lives[name], lives[other])
        )
        address = 0
        for start, end in taken:
            if address + planes[name].n_bytes <= start:
                break
            address = max(address, end)
        plan[name] = address
    return plan


def _meet(spans: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return any(first <= end and start <= last for first, last in spans for start, end in others)
