"""Terms and contexts come in table order, tile by tile; the rules on a row's last step hold."""

import os

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge
from pumice.spec.config import CONFIGS
from pumice_hdl.core.drain import DRAIN_CYCLES, RESULT_CREDITS
from pumice_hdl.core.row_issue import Activity
from pumice_hdl.layouts import ROW_LAYOUT, row_context_layout, tile_layout

from .streams import pack, put, reset

CONFIG = CONFIGS[os.environ["CONFIG"]]
N_TILES = 3


def random_rows(rng, n_rows: int) -> list[dict]:
    mask = CONFIG.activation_bytes - 1
    return [
        {
            "bias": int(rng.integers(-(2**31), 2**31)),
            "multiplier": int(rng.integers(2**31)),
            "last": int(i == n_rows - 1),
            "row_base": int(rng.integers(mask + 1)),
            "out_address": int(rng.integers(mask + 1)),
            "shift": int(rng.integers(32)),
            "n_steps": int(rng.choice([0, 1, 2, 7, 8, 9, 30])),
        }
        for i in range(n_rows)
    ]


def random_tiles(rng) -> list[dict]:
    return [
        {
            "position": t * CONFIG.n_lanes,
            "n_store": int(rng.integers(1, CONFIG.n_lanes + 1)),
            "valid": int(rng.integers(2**CONFIG.n_lanes)),
            "x": int(rng.integers(100)),
            "odd_row": int(rng.integers(2)),
            "phase_row": int(rng.integers(64)),
            "last": int(t == N_TILES - 1),
        }
        for t in range(N_TILES)
    ]


async def supply_steps(dut, n_steps, rng, p):
    """Offer the decoder's steps; each stays until it is taken."""
    dut.available.value = 0
    for _ in range(n_steps):
        while rng.random() >= p:
            await RisingEdge(dut.clk)
        dut.available.value = 1
        while True:
            await RisingEdge(dut.clk)
            if dut.take.value:
                break
        dut.available.value = 0


async def supply_enable(dut, rng, p):
    """Random holds; enable comes late."""
    for _ in range(20):
        await RisingEdge(dut.clk)
    dut.enable.value = 1
    while True:
        dut.hold.value = int(rng.random() >= p)
        await RisingEdge(dut.clk)


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(p=[1.0, 0.6], p_credit=[1.0, 0.05])
async def terms_in_order(dut, p, p_credit):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    rows, tiles = random_rows(rng, 12), random_tiles(rng)
    n_terms = N_TILES * sum(max(1, row["n_steps"]) for row in rows)
    n_rows = N_TILES * len(rows)
    n_steps = N_TILES * sum(row["n_steps"] for row in rows)
    expected = []
    for tile in tiles:
        for row in rows:
            for i in range(max(1, row["n_steps"])):
                last = i == max(1, row["n_steps"]) - 1
                expected.append((int(row["n_steps"] > 0), int(i == 0), int(last), row["row_base"], tile["position"]))

    dut.start.value = dut.enable.value = dut.hold.value = dut.result_taken.value = 0
    dut.loaded.value, dut.no_rows.value = 0, 0
    dut.contexts__ready.value = 1
    dut.headers__valid.value = dut.tiles__valid.value = dut.available.value = 0
    await reset(dut)
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    dut.loaded.value = 1
    rngs = rng.spawn(5)
    headers = [pack(ROW_LAYOUT, row) for _ in tiles for row in rows]
    cocotb.start_soon(put(dut, "headers", headers, rngs[0], p))
    cocotb.start_soon(put(dut, "tiles", [pack(tile_layout(CONFIG), t) for t in tiles], rngs[1], p))
    cocotb.start_soon(supply_steps(dut, n_steps, rngs[2], p))
    cocotb.start_soon(supply_enable(dut, rngs[3], p))

    terms, contexts, outstanding, last_cycle, cycle, counts = [], [], 0, -DRAIN_CYCLES, 0, [0] * 8
    took = 0  # in the previous cycle
    while len(terms) < n_terms or outstanding:
        dut.result_taken.value = int(outstanding > 0 and rngs[4].random() < p_credit)
        await ReadOnly()
        counts[int(dut.activity.value)] += 1
        went = int(dut.activity.value) == Activity.STEP.value
        assert not (went and (dut.hold.value or not dut.enable.value)), "a step went while it must not"
        if dut.result_taken.value:
            outstanding -= 1
        if dut.contexts__valid.value:
            contexts.append(int(dut.contexts__payload.value))
            assert cycle - last_cycle >= DRAIN_CYCLES, "the drain is still busy"
            last_cycle, outstanding = cycle, outstanding + 1
            assert outstanding <= RESULT_CREDITS
        if dut.term_valid.value:
            outputs = (dut.term_first, dut.term_last, dut.row_base, dut.position)
            got = (took, *(int(output.value) for output in outputs))
            assert got == expected[len(terms)], f"term {len(terms)}"
            terms.append(got)
        took = int(dut.take.value)
        await RisingEdge(dut.clk)
        cycle += 1
    dut.result_taken.value = 0
    layout = row_context_layout(CONFIG)
    names = ("bias", "multiplier", "shift", "out_address")
    assert contexts == [pack(layout, {**{n: row[n] for n in names}, "tile": t}) for t in tiles for row in rows]
    assert len(contexts) == n_rows
    assert counts[Activity.STEP.value] == n_terms
    for _ in range(12):
        await RisingEdge(dut.clk)
    assert dut.idle.value
    assert dut.drained.value
    assert not dut.term_valid.value
    if p == p_credit == 1.0:  # rows back to back: only tiles and short rows may cost cycles
        ideal = N_TILES * sum(max(DRAIN_CYCLES, row["n_steps"]) for row in rows)
        assert last_cycle <= ideal + 20 + 4 * N_TILES + 10


@cocotb.test(timeout_time=20, timeout_unit="us")
async def empty_table_is_idle(dut):
    """A core without rows finishes as soon as the preamble says so."""
    dut.start.value = dut.enable.value = dut.hold.value = dut.result_taken.value = 0
    dut.headers__valid.value = dut.tiles__valid.value = dut.available.value = 0
    dut.loaded.value, dut.no_rows.value, dut.contexts__ready.value = 0, 1, 1
    await reset(dut)
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    for _ in range(15):
        await RisingEdge(dut.clk)
        assert not dut.idle.value or dut.start.value
    dut.loaded.value = 1
    for _ in range(12):
        await RisingEdge(dut.clk)
    assert dut.idle.value
