"""ContextQueue: rows come out in order, up to as many as it is for, whatever is written and not pushed."""

from collections import deque

import numpy as np
import pytest
from amaranth.lib import data
from amaranth.sim import Simulator
from pumice_hdl.core.context_queue import ContextQueue

SEED = 5
DEPTH = 4
LAYOUT = data.StructLayout({"a": 7, "b": 20})


@pytest.mark.parametrize("p_ready", [0.05, 0.5, 1])
def test_rows_come_in_order(p_ready):
    rng = np.random.default_rng(SEED)
    dut = ContextQueue(LAYOUT, DEPTH)
    n_rows, deepest = 200, 0
    rows, got = deque(), 0

    async def bench(ctx):
        nonlocal got, deepest
        for _ in range(100 * n_rows):
            if got == n_rows:
                return
            row = {"a": int(rng.integers(1 << 7)), "b": int(rng.integers(1 << 20))}
            may_push = bool(rng.random() < 0.7)
            pushes = may_push and len(rows) < DEPTH and got + len(rows) < n_rows and bool(rng.random() < 0.6)
            ctx.set(dut.rows.payload, row)
            ctx.set(dut.may_push, may_push)
            ctx.set(dut.rows.valid, pushes)
            ctx.set(dut.drained.ready, bool(rng.random() < p_ready))
            assert ctx.get(dut.drained.valid) == bool(rows)
            assert ctx.get(dut.rows.ready)
            if rows:
                assert {name: ctx.get(dut.drained.payload[name]) for name in row} == rows[0], f"seed {SEED}"
                if ctx.get(dut.drained.ready):
                    rows.popleft()
                    got += 1
            if pushes:
                rows.append(row)
            deepest = max(deepest, len(rows))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == n_rows
    assert p_ready == 1 or deepest == DEPTH
