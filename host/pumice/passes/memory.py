"""Addresses of tensors in activation memory."""

from collections.abc import Collection, Mapping

from ..planes import Planes
from .operation import Operation


def place(
    operations: list[Operation],
    planes: Mapping[str, Planes],
    network_input: str,
    network_output: str,
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
    lives = {
        name: life
        for name, life in lifetimes(operations, network_input, network_output).items()
        if names is None or name in names
    }
    orders = (
        sorted(lives, key=lambda name: -planes[name].n_bytes),
        sorted(lives, key=lambda name: lives[name][0]),
        sorted(lives, key=lambda name: (lives[name][0] - lives[name][1], -planes[name].n_bytes)),
        sorted(lives, key=lambda name: -lives[name][1]),
    )
    return min((_first_fit(order, lives, planes) for order in orders), key=lambda plan: peak_bytes(plan, planes))


def peak_bytes(plan: Mapping[str, int], planes: Mapping[str, Planes]) -> int:
    """End of the highest region."""
    return max((address + planes[name].n_bytes for name, address in plan.items()), default=0)


def lifetimes(operations: list[Operation], network_input: str, network_output: str) -> dict[str, tuple[int, int]]:
    """First and last operation that needs each tensor's region."""
    lives = {network_input: (-1, 0)}
    for i, operation in enumerate(operations):
        for name in operation.inputs:
            lives[name] = (lives[name][0], i)
        lives[operation.output] = (i, i)
    lives[network_output] = (lives[network_output][0], len(operations))
    return lives


def _first_fit(order, lives, planes) -> dict[str, int]:
    plan: dict[str, int] = {}
    for name in order:
        first, last = lives[name]
        taken = sorted(
            (plan[other], plan[other] + planes[other].n_bytes)
            for other in plan
            if lives[other][0] <= last and first <= lives[other][1]
        )
        address = 0
        for start, end in taken:
            if address + planes[name].n_bytes <= start:
                break
            address = max(address, end)
        plan[name] = address
    return plan
