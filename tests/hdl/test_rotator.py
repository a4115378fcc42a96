"""Rotator against `numpy.roll`: every amount at every size."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice_hdl.core.rotator import Rotator

SEED = 1


@pytest.mark.parametrize("n_lanes", [2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("lane_bits", [8, 9])
@pytest.mark.parametrize("all_amounts", [True, False])
def test_rotates_by_every_amount(n_lanes, lane_bits, all_amounts):
    n_amounts = n_lanes if all_amounts else max(2, n_lanes // 2)
    dut = Rotator(n_lanes, lane_bits, None if all_amounts else n_amounts)
    rng = np.random.default_rng(SEED)
    amounts = rng.permutation(np.repeat(np.arange(n_amounts), 2))
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
    assert len(got) == 2 * n_amounts
    np.testing.assert_array_equal(got, [np.roll(v, -a) for v, a in zip(vectors, amounts, strict=True)], f"seed {SEED}")
