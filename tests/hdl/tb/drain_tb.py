"""Rows through the drain against `numerics.requantise`, with credits, stalled results and rows as close as allowed."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pumice.spec.config import CONFIGS
from pumice.spec.numerics import requantise, wrap_int32
from pumice_hdl.core.drain import DRAIN_CYCLES, RESULT_CREDITS, Drain
from pumice_hdl.layouts import LAYER_LAYOUT, row_context_layout, row_result_layout

from .streams import get, pack, put, reset

CONFIG = CONFIGS[os.environ["CONFIG"]]
N_ROWS = 60


def random_rows(rng):
    """Accumulators and contexts of ``N_ROWS`` rows."""
    w, bits = CONFIG.n_lanes, CONFIG.address_bits
    for _ in range(N_ROWS):
        shift = int(rng.integers(0, 24))
        accumulators = rng.integers(-(1 << min(31, shift + 9)), 1 << min(31, shift + 9), w)
        valid = [(1 << w) - 1, 0, 1, int.from_bytes(rng.bytes(w // 8), "little")][rng.integers(4)]
        tile = {
            "position": int(rng.integers(1 << bits)), "n_store": int(rng.integers(1, w + 1)), "valid": valid,
            "x": int(rng.integers(1 << 16)), "odd_row": int(rng.integers(2)),
            "phase_row": int(rng.integers(1 << bits)), "last": int(rng.integers(2)),
        }  # fmt: skip
        context = {
            "bias": int(rng.integers(-1000, 1000)), "multiplier": int(rng.integers(1 << 30, 1 << 31)),
            "shift": shift, "out_address": int(rng.integers(1 << bits)), "tile": tile,
        }  # fmt: skip
        yield accumulators, context


def expected(accumulators, context, layer):
    """Payload of the row's result; with ``lane_sum`` the byte of lane 0, the only one that is defined."""
    parameters = [context[name] for name in ("bias", "multiplier", "shift")]
    parameters += [layer[name] for name in ("zero_point", "low", "high")]
    if layer["lane_sum"]:
        return int(requantise(wrap_int32(accumulators.sum()), *parameters)) & 0xFF
    valid = [context["tile"]["valid"] >> lane & 1 for lane in range(CONFIG.n_lanes)]
    vector = np.where(valid, requantise(accumulators, *parameters), layer["zero_point"])
    fields = {"data": vector.astype(np.uint8).tolist(), "out_address": context["out_address"], "tile": context["tile"]}
    return pack(row_result_layout(CONFIG), fields)


async def finish_rows(dut, rows, rng, p_done, log):
    """Pulse ``done`` for each row as soon as spacing, context and credits allow (with ``p_done`` in such a cycle)."""
    credits, since = RESULT_CREDITS, DRAIN_CYCLES
    waiting = list(rows)
    while waiting:
        done = credits > 0 and since >= DRAIN_CYCLES and dut.contexts__valid.value and rng.random() < p_done
        if done:
            accumulators = waiting.pop(0)[0]
            credits, since = credits - 1, 0
            log.append(cocotb.utils.get_sim_time("ns") // 10)
        else:
            accumulators = rng.integers(-(1 << 31), 1 << 31, CONFIG.n_lanes)
        words = (np.asarray(accumulators) & 0xFFFFFFFF).astype("<u4")
        dut.accumulators.value = int.from_bytes(words.tobytes(), "little")
        dut.done.value = int(done)
        await RisingEdge(dut.clk)
        since += 1
        credits += int(dut.taken.value)
    dut.done.value = 0


@cocotb.test(timeout_time=60, timeout_unit="us")
@cocotb.parametrize(
    p=[(1.0, 1.0, 1.0, 0), (0.5, 1.0, 0.05, 0), (0.05, 0.3, 0.5, 0), (1.0, 1.0, 1.0, 1), (1.0, 0.3, 0.1, 1)]
)
async def rows_match_numerics(dut, p):
    p_context, p_done, p_ready, lane_sum = p
    rng, put_rng, get_rng, done_rng = np.random.default_rng(cocotb.RANDOM_SEED).spawn(4)
    low = int(rng.integers(-128, 0))
    zero_point, high = int(rng.integers(-128, 128)), int(rng.integers(low, 128))
    layer = {"lane_sum": lane_sum, "zero_point": zero_point, "low": low, "high": high}
    rows = list(random_rows(rng))
    dut.done.value = 0
    dut.layer.value = pack(LAYER_LAYOUT, layer)
    await reset(dut)
    contexts = [pack(row_context_layout(CONFIG), context) for _, context in rows]
    done_cycles = []
    cocotb.start_soon(put(dut, "contexts", contexts, put_rng, p_context))
    cocotb.start_soon(finish_rows(dut, rows, done_rng, p_done, done_cycles))
    results = await get(dut, "results", N_ROWS, get_rng, p_ready)
    assert [result & 0xFF if lane_sum else result for result in results] == [expected(*row, layer) for row in rows]
    if p_context == p_done == p_ready == 1.0:
        assert np.all(np.diff(done_cycles) <= DRAIN_CYCLES + 1), "credits or contexts held back a row"
        cycle = cocotb.utils.get_sim_time("ns") // 10
        assert cycle - done_cycles[-1] <= Drain.latency + 2 + lane_sum * Drain(CONFIG).sum_latency
    for _ in range(2 * Drain.latency):
        await RisingEdge(dut.clk)
        assert not dut.results__valid.value
