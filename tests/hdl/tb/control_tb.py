"""Bench of the PYNQ-Z2's way to registers and interrupt controller."""

from functools import partial

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, with_timeout
from pumice.spec import registers
from pumice.spec.boards import INTERRUPT_CONTROLLER_OFFSET
from pumice_sim.interrupt_controller import InterruptController

from .host import Host
from .streams import reset

N_STEPS = 300
SETTLE = 4  # cycles from the input to the output
test = partial(cocotb.test, timeout_time=500, timeout_unit="us")


async def start(dut, p_stall: float = 0.0) -> Host:
    dut.source.value = 0
    host = Host(dut, p_stall)
    await reset(dut)
    return host


async def write(host: Host, offset: int, value: int) -> None:
    await host.master.write(INTERRUPT_CONTROLLER_OFFSET + offset, value.to_bytes(4, "little"))


@test()
@cocotb.parametrize(p_stall=[0.0, 0.5])
async def controller_equals_its_model(dut, p_stall):
    """Random accesses and levels; PYNQ itself runs on the model (`pumice_sim.pynq_device`)."""
    host, rng, level = await start(dut, p_stall), np.random.default_rng(cocotb.RANDOM_SEED), False
    model = InterruptController(lambda: level)
    n_high = n_fired = 0
    for _ in range(N_STEPS):
        kind, offset = rng.integers(3), int(rng.choice([0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C]))
        if kind == 0:
            level = bool(rng.integers(2))
            dut.source.value = int(level)
            n_high += level
        elif kind == 1:
            value = int(rng.integers(4))
            model.write(offset, value)
            await write(host, offset, value)
        else:
            assert await host.read_word(INTERRUPT_CONTROLLER_OFFSET + offset) == model.read(offset)
        await ClockCycles(dut.clk, SETTLE)
        assert int(dut.interrupt.value) == model.output()
        n_fired += model.output()
    assert n_high > 30
    assert n_fired > 30


@test()
@cocotb.parametrize(p_stall=[0.0, 0.5])
async def both_are_reached_at_once(dut, p_stall):
    """Reads and writes of both slaves under way together; neither reaches the other's."""
    host, rng = await start(dut, p_stall), np.random.default_rng(cocotb.RANDOM_SEED)
    watchdog = registers.find("host", "watchdog").offset
    for _ in range(60):
        value, enable = int(rng.integers(1 << 32)), int(rng.integers(2))
        tasks = [
            cocotb.start_soon(host.master.write(watchdog, value.to_bytes(4, "little"))),
            cocotb.start_soon(write(host, InterruptController.ENABLE, enable)),
            cocotb.start_soon(host.read("magic")),
            cocotb.start_soon(host.read_word(INTERRUPT_CONTROLLER_OFFSET + InterruptController.STATUS)),
        ]
        answers = [await with_timeout(task, 10, "us") for task in rng.permutation(np.array(tasks, dtype=object))]
        assert len(answers) == len(tasks)
        assert registers.MAGIC in answers
        assert await host.read("watchdog") == value
        assert await host.read_word(INTERRUPT_CONTROLLER_OFFSET + InterruptController.ENABLE) == enable
