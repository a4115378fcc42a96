"""Layer sequencer and layer counters against cycle-by-cycle models, in Amaranth's simulator."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice.spec.config import TINY, Z7020
from pumice.spec.descriptor import LOG_COUNTERS
from pumice.spec.registers import LOG_OFFSET
from pumice_hdl.core.row_issue import Activity
from pumice_hdl.engine.counters import ENTRIES, LayerCounters
from pumice_hdl.engine.sequencer import LayerSequencer

SEED = 5


def test_layers_run_one_behind_the_other():
    """Start, go and complete come in order and never before their conditions; the next layer is prepared meanwhile."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    dut = LayerSequencer()
    n_layers = 40
    events = []

    async def bench(ctx):
        submitted, core_busy, bus_busy, counters_busy, prepared_ahead = 0, 0, 0, 0, 0
        for _ in range(6000):
            offer = submitted < n_layers and rng.random() < 0.2
            ctx.set(dut.layers.p.segment, submitted)
            ctx.set(dut.layers.valid, offer)
            submitted += offer and ctx.get(dut.layers.ready)
            ctx.set(dut.cores_idle, core_busy == 0)
            ctx.set(dut.rows_drained, bus_busy <= 3)
            ctx.set(dut.bus_idle, bus_busy == 0)
            ctx.set(dut.counters_busy, counters_busy > 0)
            if ctx.get(dut.start):
                assert core_busy == 0, "start while a front end works"
                assert not ctx.get(dut.enable), "start while steps may go"
                events.append(("start", ctx.get(dut.front.segment)))
            if ctx.get(dut.complete):
                assert core_busy == 0
                assert bus_busy == 0
                assert counters_busy == 0
                events.append(("complete", ctx.get(dut.back.segment)))
            if ctx.get(dut.go):
                assert ctx.get(dut.complete) or not ctx.get(dut.running)
                events.append(("go", ctx.get(dut.front.segment)))
            prepared_ahead += ctx.get(dut.ahead)
            if ctx.get(dut.enable):
                assert ctx.get(dut.front.segment) == ctx.get(dut.back.segment)
            counters_busy = int(rng.integers(2, 90)) if ctx.get(dut.complete) else max(0, counters_busy - 1)
            if ctx.get(dut.go):
                core_busy = int(rng.integers(2, 60))
                bus_busy = core_busy + int(rng.integers(0, 30))
            else:
                core_busy, bus_busy = max(0, core_busy - 1), max(0, bus_busy - 1)
            await ctx.tick()
            if len(events) == 3 * n_layers and not ctx.get(dut.busy):
                break
        else:
            raise AssertionError("layers are missing")
        assert prepared_ahead > n_layers  # cycles in which the next layer was prepared early

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    for name in ("start", "go", "complete"):
        assert [tag for event, tag in events if event == name] == list(range(n_layers))
    for tag in range(n_layers - 1):
        assert events.index(("complete", tag)) < events.index(("go", tag + 1))


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_counters_and_log(config):
    """Counters equal a model's; entries land at their place; a stalled log loses nothing."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    dut = LayerCounters(config)
    expected, got = {}, {}

    async def bench(ctx):
        for place in (0, 1, 2, ENTRIES - 1):
            counts = dict.fromkeys([name for name, _ in LOG_COUNTERS], 0)
            n = int(rng.integers(20, 60))
            for i in range(n):
                active = int(rng.random() < 0.9) if i < n - 1 else 1
                ctx.set(dut.active, active)
                ctx.set(dut.complete, i == n - 1)
                ctx.set(dut.place, place)
                counts["cycles"] += active
                for core in range(config.n_cores):
                    activity = Activity(int(rng.integers(6)))
                    nonzero = int(activity == Activity.STEP and rng.random() < 0.5)
                    ctx.set(dut.activities[core], activity)
                    ctx.set(dut.nonzeros[core], nonzero)
                    name = "steps" if activity == Activity.STEP else f"stall_{activity.name.lower()}"
                    counts[name] += active
                    counts["nonzeros"] += nonzero * active
                await ctx.tick()
            ctx.set(dut.complete, 0)
            ctx.set(dut.active, 0)
            address = LOG_OFFSET // 8 + place * 4
            values = list(counts.values())
            for i in range(4):
                expected[address + i] = values[2 * i] | values[2 * i + 1] << 32
            for _ in range(200):
                await ctx.tick()
                if not ctx.get(dut.busy):
                    break
            assert not ctx.get(dut.busy)

    async def memory(ctx):
        while True:
            ctx.set(dut.log.ready, rng.random() < 0.4)
            if ctx.get(dut.log.valid) and ctx.get(dut.log.ready):
                got[ctx.get(dut.log.p.address)] = ctx.get(dut.log.p.data)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.add_testbench(memory, background=True)
    simulator.run()
    assert got == expected
    assert len(got) == 16
