"""Addresses of tensors in activation memory."""

from collections.abc import Mapping

from ..errors import CompileError
from ..planes import Planes
from .operation import Operation

_Lives = dict[str, list[tuple[int, int]]]
"""First and last operation that need a tensor's region, of each span of them."""


def place(
    operations: list[Operation],
    planes: dict[str, Planes],
    network_inputs: tuple[str, ...],
    network_outputs: tuple[str, ...],
    available: int,
) -> tuple[dict[str, int], int | None]:
    """Byte address, a multiple of 8, of each tensor's region, and when the next sample's inputs may arrive.

    Regions of tensors that live at the same time, from the operation that makes one to the last that reads it, do not
    overlap. First fit, in several orders; the order that takes least counts.

    The second value is the number of operations after which the next inputs may arrive, while the others run: the
    fewest for which memory suffices. Outputs then share their regions with no other tensor until the next sample's
    first operation has completed. None: there is no such number; the next sample has to wait for the end of this one.

    Raises
    ------
    CompileError
        No order fits in ``available`` bytes.
    """
    lives = _lives(operations, network_inputs, network_outputs)
    end = len(operations)
    for arrival in range(1 + max(lives[name][0][1] for name in network_inputs), end):
        overlapped = dict(lives)
        for name in network_inputs:
            overlapped[name] = [*lives[name], (arrival, end)]
        for name in network_outputs:
            overlapped[name] = [(-1, 0), *lives[name]]
        plan = _best_fit(overlapped, planes)
        if peak_bytes(plan, planes) <= available:
            return plan, arrival
    plan = _best_fit(lives, planes)
    if peak_bytes(plan, planes) > available:
        raise CompileError(_explain(operations, lives, planes, peak_bytes(plan, planes), available))
    return plan, None


def _best_fit(lives: _Lives, planes: Mapping[str, Planes]) -> dict[str, int]:
    """The plan that takes least, of several orders."""
    orders = (
        sorted(lives, key=lambda name: -planes[name].n_bytes),
        sorted(lives, key=lambda name: lives[name][-1][0]),
        sorted(lives, key=lambda name: (lives[name][-1][0] - lives[name][-1][1], -planes[name].n_bytes)),
        sorted(lives, key=lambda name: -lives[name][-1][1]),
    )
    plans = [_first_fit(order, lives, planes) for order in orders]
    return min(plans, key=lambda plan: peak_bytes(plan, planes))


def peak_bytes(plan: Mapping[str, int], planes: Mapping[str, Planes]) -> int:
    """End of the highest region."""
    return max(address + planes[name].n_bytes for name, address in plan.items())


def _lives(operations, network_inputs, network_outputs) -> _Lives:
    lives: dict[str, tuple[int, int]] = {name: (-1, 0) for name in network_inputs}
    for i, operation in enumerate(operations):
        for name in operation.inputs:
            lives[name] = (lives[name][0], i)
        lives[operation.output] = (i, i)
    for name in network_outputs:
        lives[name] = (lives[name][0], len(operations))
    return {name: [life] for name, life in lives.items()}


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


def _explain(operations, lives, planes, needed, available) -> str:
    def live_at(i: int) -> list[str]:
        return [name for name, spans in lives.items() if _meet(spans, [(i, i)])]

    worst = max(range(len(operations)), key=lambda i: sum(planes[name].n_bytes for name in live_at(i)))
    tensors = ", ".join(f"{name} ({planes[name].n_bytes} bytes)" for name in live_at(worst))
    return (
        f"activations need {needed} bytes but the engine has {available}; layer {operations[worst].name} needs most, "
        f"while these tensors live: {tensors}. Use a smaller input, fewer channels, or a configuration with more memory"
    )
