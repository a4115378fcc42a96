"""Rotator against `numpy.roll`: every amount at every size."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice_hdl.core.rotator import Rotator

SEED = 1


@pytest.mark.parametrize("n_lanes", [2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("lane_bits", [8, 9])
def test_rotates_by_every_amount(n_lanes, lane_bits):
    dut = Rotator(n_lanes, lane_bits)
    rng = np.random.default_rng(SEED)
    amounts = rng.permutation(np.repeat(np.arange(n_lanes), 2))
    vectors = rng.integers(0, 1 << lane_bits, (len(amounts), n_lanes))
    got = []

    async def bench(ctx):
        for cycle in range(len(amounts) + dut.latency):
            if cycle < len(amounts):
                ctx.set(dut.vector, vectors[cycle].tolist())
                ctx.set(dut.amount, int(amounts[cycle]))
            if cycle >= dut.latency:
                got.append([ctx.get(dut.rotated[i]) for i in range(n_lanes)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == 2 * n_lanes
    np.testing.assert_array_equal(got, [np.roll(v, -a) for v, a in zip(vectors, amounts, strict=True)], f"seed {SEED}")
