"""MacArray against numpy: sums and maxima, rows back to back, pauses, extremes and wrap-around."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice.spec.config import TINY, Z7020
from pumice.spec.numerics import wrap_int32
from pumice_hdl.core.mac import MacArray

SEED = 3


def run(config, rows, rng, p_valid):
    """Results of ``rows`` of (weights, vectors, max), in order, from the cycles of ``done``."""
    dut = MacArray(config)
    got, cycle, due = [], 0, []

    async def bench(ctx):
        nonlocal cycle

        async def step(**inputs):
            nonlocal cycle
            for name, value in inputs.items():
                ctx.set(getattr(dut, name), value)
            assert ctx.get(dut.done) == (cycle in due)
            if ctx.get(dut.done):
                got.append([ctx.get(dut.accumulators[lane]) for lane in range(config.n_lanes)])
            cycle += 1
            await ctx.tick()

        for weights, vectors, is_max in rows:
            for i, (weight, vector) in enumerate(zip(weights, vectors, strict=True)):
                while rng.random() >= p_valid:  # what the other inputs are must not matter
                    noise = {name: int(rng.integers(2)) for name in ("first", "last", "max", "swapped")}
                    vector_noise = rng.integers(0, 256, config.n_lanes).tolist()
                    await step(valid=0, weight=int(rng.integers(-128, 128)), vector=vector_noise, **noise)
                last = i == len(weights) - 1
                if last:
                    due.append(cycle + dut.latency)
                swapped = int(rng.integers(2))
                placed = np.roll(vector & 0xFF, swapped * config.n_lanes // 2)
                term = {"weight": int(weight), "vector": placed.tolist(), "swapped": swapped}
                await step(valid=1, first=i == 0, last=last, max=is_max, **term)
        for _ in range(dut.latency + 1):
            await step(valid=0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == len(due)
    return got


def reference(weights, vectors, is_max):
    if is_max:
        return np.where(weights[:, None] != 0, vectors, -128).max(axis=0)
    return wrap_int32(weights @ vectors)


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
@pytest.mark.parametrize("p_valid", [1.0, 0.6])
def test_rows_match_numpy(config, p_valid):
    rng = np.random.default_rng(SEED)
    rows = []
    for n_terms in rng.permutation([1] * 20 + [2] * 10 + [3, 8, 9, 40]):
        weights = rng.integers(-128, 128, n_terms) * (rng.random(n_terms) < 0.7)
        rows.append((weights, rng.integers(-128, 128, (n_terms, config.n_lanes)), int(rng.random() < 0.4)))
    for x in (-128, 127):
        rows.append((np.full(50, -128), np.full((50, config.n_lanes), x), 0))
    assert {is_max for *_, is_max in rows} == {0, 1}
    got = run(config, rows, rng, p_valid)
    np.testing.assert_array_equal(got, [reference(*row) for row in rows], f"seed {SEED}")


def test_accumulator_wraps_at_32_bits():
    dut = MacArray(TINY)
    n_terms = (1 << 31) // (128 * 128) + 3
    got = []

    async def bench(ctx):
        ctx.set(dut.vector, [0x80] * TINY.n_lanes)
        ctx.set(dut.weight, -128)
        ctx.set(dut.valid, 1)
        ctx.set(dut.first, 1)
        await ctx.tick()
        ctx.set(dut.first, 0)
        await ctx.tick().repeat(n_terms - 2)
        ctx.set(dut.last, 1)
        await ctx.tick()
        ctx.set(dut.valid, 0)
        await ctx.tick().repeat(dut.latency - 1)
        assert ctx.get(dut.done)
        got.extend(ctx.get(dut.accumulators[lane]) for lane in range(TINY.n_lanes))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == [(128 * 128 * n_terms) - (1 << 32)] * TINY.n_lanes
