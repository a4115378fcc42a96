"""Addresses of tensors in activation memory."""

from collections.abc import Mapping

from ..errors import CompileError
from ..planes import Planes
from .operation import Operation


def place(
    operations: list[Operation],
    planes: dict[str, Planes],
    network_inputs: tuple[str, ...],
    network_outputs: tuple[str, ...],
    available: int,
) -> dict[str, int]:
    """Byte address, a multiple of 8, of each tensor's region.

    Regions of tensors that live at the same time, from the operation that makes one to the last that reads it, do not
    overlap. First fit, in several orders; the first order that fits counts.

    Raises
    ------
    CompileError
        No order fits in ``available`` bytes.
    """
    lives = _lives(operations, network_inputs, network_outputs)
    orders = (
        sorted(lives, key=lambda name: -planes[name].n_bytes),
        sorted(lives, key=lambda name: lives[name][0]),
        sorted(lives, key=lambda name: (lives[name][0] - lives[name][1], -planes[name].n_bytes)),
        sorted(lives, key=lambda name: -lives[name][1]),
    )
    plans = [_first_fit(order, lives, planes) for order in orders]
    plan = min(plans, key=lambda plan: peak_bytes(plan, planes))
    if peak_bytes(plan, planes) > available:
        raise CompileError(_explain(operations, lives, planes, peak_bytes(plan, planes), available))
    return plan


def peak_bytes(plan: Mapping[str, int], planes: Mapping[str, Planes]) -> int:
    """End of the highest region."""
    return max(address + planes[name].n_bytes for name, address in plan.items())


def _lives(operations, network_inputs, network_outputs) -> dict[str, tuple[int, int]]:
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


def _explain(operations, lives, planes, needed, available) -> str:
    def live_at(i: int) -> list[str]:
        return [name for name, (first, last) in lives.items() if first <= i <= last]

    worst = max(range(len(operations)), key=lambda i: sum(planes[name].n_bytes for name in live_at(i)))
    tensors = ", ".join(f"{name} ({planes[name].n_bytes} bytes)" for name in live_at(worst))
    return (
        f"activations need {needed} bytes but the engine has {available}; layer {operations[worst].name} needs most, "
        f"while these tensors live: {tensors}. Use a smaller input, fewer channels, or a configuration with more memory"
    )
