"""Loads and runs an image through AXI4-Lite, with memory behind AXI4, both stalling at random."""

import json
import os
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiRam
from pumice.spec import registers
from pumice.spec.descriptor import BUFFERS, LOG_ENTRY_BYTES

from .host import Host, stalls
from .streams import reset

RUN = json.loads(os.environ["RUN"])
FOLDER = Path(RUN["folder"])
MEMORY_BYTES = 1 << 17
GUARD = 0xA5


def place_buffers() -> dict[str, tuple[int, int]]:
    """Address and length of each buffer, with space between them."""
    sizes = (
        RUN["n_bytes"],
        RUN["input_bytes"],
        RUN["output_bytes"],
        RUN["n_layers"] * LOG_ENTRY_BYTES,
        RUN["scratch_bytes"],
    )
    places, address = {}, 0x1000
    for name, n_bytes in zip(BUFFERS, sizes, strict=True):
        places[name] = (address, n_bytes)
        address += n_bytes + 0x218
    return places


async def boot(dut, p_stall: float) -> tuple[Host, AxiRam]:
    """Reset, peers with random pauses, firmware started, interrupt enabled."""
    host = Host(dut, p_stall)
    memory = AxiRam(AxiBus.from_prefix(dut, "memory_"), dut.clk, dut.rst, size=MEMORY_BYTES)
    writes, reads = memory.write_if, memory.read_if
    channels = (writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel)
    for channel, rng in zip(channels, np.random.default_rng(cocotb.RANDOM_SEED + 1).spawn(5), strict=True):
        if p_stall:
            channel.set_pause_generator(stalls(rng, p_stall))
    await reset(dut)
    memory.write(0, bytes([GUARD]) * MEMORY_BYTES)
    for _ in range(200):
        if await host.read("status") == registers.STATE_IDLE:
            break
    else:
        raise AssertionError("the firmware does not start")
    for name, (address, n_bytes) in place_buffers().items():
        await host.write(f"{name}_base_low", address)
        await host.write(f"{name}_bytes", n_bytes)
    await host.write("interrupt_enable", 1)
    memory.write(place_buffers()["image"][0], (FOLDER / "image").read_bytes())
    memory.write(place_buffers()["input"][0], (FOLDER / "input").read_bytes())
    return host, memory


async def command(dut, host: Host, code: int) -> int:
    """Ring the doorbell, wait for the interrupt, return the fault code."""
    await host.write("doorbell", code)
    if not dut.interrupt.value:
        await with_timeout(RisingEdge(dut.interrupt), 20, "ms")
    await host.write("interrupt_clear", 1)
    return await host.read("fault", "code")


@cocotb.test(timeout_time=60, timeout_unit="ms")
@cocotb.parametrize(p_stall=[0.0, 0.3, 0.8])
async def network_runs(dut, p_stall):
    host, memory = await boot(dut, p_stall)
    assert await command(dut, host, registers.COMMAND_LOAD) == 0
    assert await command(dut, host, registers.COMMAND_RUN) == 0
    places = place_buffers()
    address, n_bytes = places["output"]
    (FOLDER / f"output-{p_stall}").write_bytes(memory.read(address, n_bytes))
    assert await host.read("write_bytes") == n_bytes + places["log"][1]
    # Nothing else in memory has changed.
    seen = np.frombuffer(memory.read(0, MEMORY_BYTES), np.uint8)
    untouched = np.ones(MEMORY_BYTES, bool)
    for address, n_bytes in places.values():
        untouched[address : address + n_bytes] = False
    assert (seen[untouched] == GUARD).all()
    assert memory.read(*places["image"]) == (FOLDER / "image").read_bytes()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def short_buffer_is_a_fault(dut):
    """An output buffer one word too short: a bounds fault, and the engine works again with the right one."""
    host, _ = await boot(dut, 0.0)
    assert await command(dut, host, registers.COMMAND_LOAD) == 0
    n_bytes = place_buffers()["output"][1]
    await host.write("output_bytes", n_bytes - 8)
    assert await command(dut, host, registers.COMMAND_RUN) == registers.FAULT_CODES["bounds"]
    await host.write("output_bytes", n_bytes)
    assert await command(dut, host, registers.COMMAND_RUN) == 0
