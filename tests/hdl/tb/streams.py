"""Stalling stream drivers and monitors for cocotb benches; ports are named ``<stream>__payload/valid/ready``.

A payload with fields is one packed integer in Verilog; `pack` and `unpack` convert with its Amaranth layout.
"""

from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

PERIOD_NS = 10


async def reset(dut, cycles: int = 4) -> None:
    """Start the clock, hold ``rst`` for some cycles and release it just after an edge."""
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    dut.rst.value = 1
    for _ in range(cycles):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


def pack(layout, values: dict) -> int:
    """Integer of a (nested) dict of field values in an Amaranth layout."""
    return layout.const(values).as_value().value


def unpack(layout, value: int):
    """`data.Const` view of an integer in an Amaranth layout: fields by name."""
    return layout.from_bits(value)


async def put(dut, name: str, items, rng, p_valid: float) -> None:
    """Send integers ``items`` over stream ``name``, valid with probability ``p_valid`` in each idle cycle."""
    valid, payload, ready = (getattr(dut, f"{name}__{s}") for s in ("valid", "payload", "ready"))
    valid.value = 0
    for item in items:
        while rng.random() >= p_valid:
            await RisingEdge(dut.clk)
        payload.value = int(item)
        valid.value = 1
        while True:
            await RisingEdge(dut.clk)
            if ready.value:
                break
        valid.value = 0


async def get(dut, name: str, n: int, rng, p_ready: float) -> list[int]:
    """Receive ``n`` integers from stream ``name``, ready with probability ``p_ready``; a stalled payload must hold."""
    valid, payload, ready = (getattr(dut, f"{name}__{s}") for s in ("valid", "payload", "ready"))
    got, held = [], None
    while len(got) < n:
        ready.value = int(rng.random() < p_ready)
        await RisingEdge(dut.clk)  # what is read now is the value before this edge
        item = int(payload.value) if valid.value else None
        assert held is None or item == held, f"{name}: a stalled payload changed"
        held = None if ready.value else item
        if item is not None and ready.value:
            got.append(item)
    ready.value = 0
    await Timer(1, "ns")
    return got
