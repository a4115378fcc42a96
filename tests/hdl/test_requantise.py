"""Requantiser against `pumice.spec.numerics.requantise`: corners of all inputs, ties, random values, one a cycle."""

import itertools

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice.spec.numerics import requantise
from pumice_hdl.core.requantise import Requantiser

SEED = 4
INT32 = (-(1 << 31), (1 << 31) - 1)
OUTPUTS = [(0, -128, 127), (-128, -128, 127), (127, -128, 127), (-3, -3, 90), (12, -128, -100), (5, 5, 5)]
MULTIPLIERS = [0, 1, 0xFFFF, 0x10000, 1 << 30, (1 << 30) + 1, 0x5555AAAA, (1 << 31) - 0x10000, (1 << 31) - 1]


def corners():
    """All corners of accumulator, multiplier and shift; the bias moves the sum over the wrap."""
    near = [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 30, (1 << 31) - 1]
    accumulators = sorted({*near, *(-a for a in near), INT32[0]})
    for accumulator, multiplier, shift in itertools.product(accumulators, MULTIPLIERS, range(32)):
        yield accumulator, 0, multiplier, shift
    for accumulator, bias in itertools.product(INT32, (*INT32, -1, 1)):
        yield accumulator, bias, (1 << 31) - 1, 24


def ties(rng):
    """Values that lie at or beside a rounding border: with multiplier 2**30, half the sum is shifted."""
    for shift in range(1, 24):
        for k in rng.integers(-140, 140, 8):
            for beside in range(-3, 4):
                total = int(2 * k + 1 << shift) + beside
                if INT32[0] <= total <= INT32[1]:
                    bias = int(rng.integers(-1000, 1000))
                    yield total - bias, bias, 1 << 30, shift


def plausible(rng, n):
    """Random values whose results mostly stay within the clamp, and some of any size."""
    shifts = rng.integers(0, 32, n)
    scale = np.minimum(2.0 ** (shifts + 8), 2.0**31) * rng.uniform(-1, 1, n)
    scale[: n // 4] = rng.integers(*INT32, n // 4)
    totals = np.clip(scale.astype(np.int64), *INT32)
    biases = rng.integers(-(1 << 20), 1 << 20, n)
    multipliers = rng.integers(1 << 30, 1 << 31, n)
    multipliers[: n // 8] = rng.integers(0, 1 << 31, n // 8)
    yield from zip(np.clip(totals - biases, *INT32), biases, multipliers, shifts, strict=True)


@pytest.mark.parametrize(("zero_point", "low", "high"), OUTPUTS)
def test_equals_numerics(zero_point, low, high):
    rng = np.random.default_rng([SEED, zero_point & 0xFF])
    values = np.array([*corners(), *ties(rng), *plausible(rng, 4000)], np.int64)
    rng.shuffle(values)
    dut = Requantiser()
    got = []

    async def bench(ctx):
        ctx.set(dut.zero_point, zero_point)
        ctx.set(dut.low, low)
        ctx.set(dut.high, high)
        for cycle in range(len(values) + dut.latency):
            if cycle < len(values):
                for name, value in zip(("accumulator", "bias", "multiplier", "shift"), values[cycle], strict=True):
                    ctx.set(getattr(dut, name), int(value))
            if cycle >= dut.latency:
                got.append(ctx.get(dut.activation))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    expected = requantise(*values.T, zero_point, low, high)
    assert len(np.unique(expected)) > min(high - low, 200)
    np.testing.assert_array_equal(got, expected, f"seed {SEED}")
