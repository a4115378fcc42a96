"""Weight memory against an array: random writes and reads in every cycle."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice.spec.config import TINY, Z7020
from pumice_hdl.core.weight_memory import WeightMemory

SEED = 1
N_CYCLES = 600


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_reads_what_was_written(config):
    dut = WeightMemory(config)
    rng = np.random.default_rng(SEED)
    places = [0, 1, config.weight_depth - 1, *rng.integers(0, config.weight_depth, 13).tolist()]
    model = dict.fromkeys(places, 0)
    got, expected = [], []

    async def bench(ctx):
        for cycle in range(N_CYCLES + dut.latency):
            if cycle >= dut.latency:
                got.append(ctx.get(dut.data))
            address, target, word = int(rng.choice(places)), int(rng.choice(places)), int(rng.integers(1 << 63))
            enable = int(rng.random() < 0.5)
            ctx.set(dut.address, address)
            ctx.set(dut.write.enable, enable)
            ctx.set(dut.write.address, target)
            ctx.set(dut.write.data, word)
            expected.append(model[address])
            if enable:
                model[target] = word
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == N_CYCLES
    assert got == expected[:N_CYCLES], f"seed {SEED}"
