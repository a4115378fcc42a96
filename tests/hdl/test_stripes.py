"""Stripe lanes, multipliers and row sums against the golden arithmetic: both kinds of slots, pauses, a slow bus."""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator
from pumice.spec.config import TINY
from pumice.spec.numerics import requantise
from pumice.spec.stripes import THROTTLE_ROWS, byte_slots, pair_slots
from pumice_hdl.core.banks import ActivationBanks
from pumice_hdl.core.mac import MacArray
from pumice_hdl.core.row_sums import MAX_ROWS, RowSums
from pumice_hdl.core.stripe_lanes import StripeLanes
from pumice_hdl.pipeline import delayed

SEED = 11
SLOTS_LATE = 1 + ActivationBanks.aligned_latency  # of slots that have been read when reading pauses
LAYER = {"zero_point": -3, "low": -100, "high": 110}


class Path(wiring.Component):
    """From bank vectors to results, as in a core."""

    def __init__(self):
        self.lanes, self.macs, self.sums = StripeLanes(TINY), MacArray(TINY), RowSums(TINY)
        self.pause = Signal()  # the last slot that was read before a throttle has come
        super().__init__({})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules += [self.lanes, self.macs, self.sums]
        m.d.comb += [
            self.macs.striped.eq(1),
            self.macs.lane_terms.eq(self.lanes.terms),
            self.macs.lane_valid.eq(self.lanes.valid),
            self.sums.shares.eq(self.macs.accumulators),
            self.sums.done.eq(self.macs.lanes_done),
            self.pause.eq(delayed(m, self.sums.throttle, SLOTS_LATE, reset_less=False)),
        ]
        return m


def run(rows, vector, pairs, rng, *, p_slot, p_header, p_ready, n_store=4, shift=7, abandoned=False):
    """Bytes of each row's address, in order, from a layer of ``rows`` (rows, vectors, lanes) on a ``vector``."""
    dut = Path()
    lanes, sums = dut.lanes, dut.sums
    slots = pair_slots(rows) if pairs else byte_slots(rows)
    biases = rng.integers(-1000, 1000, len(rows))
    multiplier = 1 << 30
    got = {}

    async def feed(ctx):
        ctx.set(lanes.pairs, pairs)
        ctx.set(lanes.row_length, rows.shape[1])
        ctx.set(sums.start, 1)
        await ctx.tick()
        ctx.set(sums.start, 0)

        async def restart():
            ctx.set(lanes.restart, 1)
            await ctx.tick()
            ctx.set(lanes.restart, 0)

        if abandoned:  # an earlier layer, in the middle of a row; as pairs, its slots advance by three
            await restart()
            for strobe, n_cycles, value in ((lanes.load, 4, 100), (lanes.slot, 3, 3)):
                ctx.set(strobe, 1)
                ctx.set(lanes.vector, [value] * TINY.n_lanes)
                for i in range(n_cycles):
                    ctx.set(lanes.index, i)
                    await ctx.tick()
                ctx.set(strobe, 0)
        await restart()
        for i, part in enumerate(vector):
            ctx.set(lanes.vector, part.view(np.uint8).tolist())
            ctx.set(lanes.index, i)
            ctx.set(lanes.load, 1)
            await ctx.tick()
        ctx.set(lanes.load, 0)
        for slot in slots:
            while rng.random() >= p_slot or ctx.get(dut.pause):
                ctx.set(lanes.slot, 0)
                ctx.set(lanes.vector, rng.integers(0, 256, TINY.n_lanes).tolist())
                await ctx.tick()
            ctx.set(lanes.vector, slot.tolist())
            ctx.set(lanes.slot, 1)
            await ctx.tick()
        ctx.set(lanes.slot, 0)

    async def headers(ctx):
        await ctx.tick()  # the start
        for i, bias in enumerate(biases):
            while rng.random() >= p_header:
                await ctx.tick()
            header = {"bias": int(bias), "multiplier": multiplier, "shift": shift, "out_address": 100 + i}
            ctx.set(sums.headers.payload, {**header, "last": i == len(biases) - 1})
            ctx.set(sums.headers.valid, 1)
            while True:
                *_, ready = await ctx.tick().sample(sums.headers.ready)
                if ready:
                    break
            ctx.set(sums.headers.valid, 0)

    async def collect(ctx):
        for name, value in {**LAYER, "n_store": n_store}.items():
            ctx.set(getattr(sums.layer, name), value)
        for _ in range(60 * (len(rows) + len(slots)) + 1000):
            if len(got) == len(rows):
                break
            ctx.set(sums.results.ready, int(rng.random() < p_ready))
            _, _, valid, ready, n, address, data = await ctx.tick().sample(
                sums.results.valid,
                sums.results.ready,
                sums.results.p.tile.n_store,
                sums.results.p.out_address,
                sums.results.p.data,
            )
            if valid and ready:
                assert n <= n_store
                for k in range(n):
                    assert address + k not in got
                    got[address + k] = data[k]
        assert len(got) == len(rows), f"only {len(got)} of {len(rows)} rows came"
        ctx.set(sums.results.ready, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(sums.finished)
        assert ctx.get(sums.drained)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for bench in (feed, headers, collect):  # collect has the time limit
        simulator.add_testbench(bench)
    simulator.run()
    totals = (rows.astype(np.int64) * vector).sum(axis=(1, 2))
    expected = requantise(totals, biases, multiplier, shift, *(LAYER[n] for n in ("zero_point", "low", "high")))
    values = np.array([got[100 + i] for i in range(len(rows))], np.uint8).view(np.int8)
    np.testing.assert_array_equal(values, expected, f"seed {SEED}")
    assert len(set(values.tolist())) > 5, "a test of equal values proves little"


@pytest.mark.parametrize("pairs", [0, 1])
@pytest.mark.parametrize(
    ("p_slot", "p_header", "p_ready"), [(1, 1, 1), (0.5, 1, 1), (1, 0.1, 1), (1, 1, 0.05)], ids=str
)
@pytest.mark.parametrize("n_vectors", [1, 4])
def test_rows_match_numpy(pairs, p_slot, p_header, p_ready, n_vectors):
    rng = np.random.default_rng(SEED)
    shape = (35 + THROTTLE_ROWS, n_vectors, TINY.n_lanes)
    rows = (rng.integers(-128, 128, shape) * (rng.random(shape) < 0.5)).astype(np.int8)
    vector = rng.integers(-128, 128, shape[1:]).astype(np.int8)
    run(rows, vector, pairs, rng, p_slot=p_slot, p_header=p_header, p_ready=p_ready)


def test_rows_wait_for_room():
    """More rows than there is room for between the queues and a slow bus, each a write."""
    rng = np.random.default_rng(SEED)
    rows = rng.integers(-128, 128, (2 * MAX_ROWS, 1, TINY.n_lanes), np.int8)
    vector = rng.integers(-128, 128, rows.shape[1:], np.int8)
    run(rows, vector, 0, rng, p_slot=1, p_header=1, p_ready=0.02, n_store=1)


@pytest.mark.parametrize("pairs", [0, 1])
def test_a_new_vector_begins_anew(pairs):
    rng = np.random.default_rng(SEED)
    rows = rng.integers(-128, 128, (9, 4, TINY.n_lanes), np.int8)
    vector = rng.integers(-128, 128, rows.shape[1:], np.int8)
    run(rows, vector, pairs, rng, p_slot=1, p_header=1, p_ready=1, shift=9, abandoned=True)


def test_largest_shares():
    rng = np.random.default_rng(SEED)
    rows = rng.choice(np.array([-128, 127], np.int8), (9, TINY.stripe_depth, TINY.n_lanes))
    rows[0] = -128
    rows[1] = 127
    run(rows, np.full(rows.shape[1:], -128, np.int8), 0, rng, p_slot=1, p_header=1, p_ready=1, shift=16)
