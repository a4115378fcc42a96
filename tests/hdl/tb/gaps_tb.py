"""Gap runs of all kinds of sizes, one layer after the other, with and without stalls."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pumice.spec.config import CONFIGS
from pumice_hdl.layouts import LAYER_LAYOUT, vector_write_layout

from .memory_model import apply_write, fill_gaps
from .streams import get, pack, reset, unpack

CONFIG = CONFIGS[os.environ["CONFIG"]]
W = CONFIG.n_lanes
SHAPES = [(0, 0), (1, 1), (1, W), (3, W + 1), (5, W - 1), (2, 2 * W), (1, 3 * W + 2), (40, 1), (0, 0), (7, 5)]


@cocotb.test(timeout_time=50, timeout_unit="us")
@cocotb.parametrize(p_ready=[1.0, 0.4])
async def runs_are_filled(dut, p_ready):
    rng, get_rng = np.random.default_rng(cocotb.RANDOM_SEED).spawn(2)
    size = CONFIG.activation_bytes
    dut.go.value = 0
    dut.writes__ready.value = 0
    await reset(dut)
    for n_gaps, gap_bytes in SHAPES:
        layer = {
            "gap_start": int(rng.integers(size)), "gap_pitch": gap_bytes + int(rng.integers(1, 200)),
            "gap_bytes": gap_bytes, "n_gaps": n_gaps, "zero_point": int(rng.integers(-128, 128)),
        }  # fmt: skip
        memory = rng.integers(0, 256, size)
        model = memory.copy()
        fill_gaps(model, layer)
        dut.go.value = 1
        await RisingEdge(dut.clk)
        dut.go.value = 0
        dut.layer.value = pack(LAYER_LAYOUT, layer)
        n_writes = n_gaps * -(-gap_bytes // W)
        start = cocotb.utils.get_sim_time("ns")
        for write in await get(dut, "writes", n_writes, get_rng, p_ready):
            apply_write(memory, unpack(vector_write_layout(CONFIG), write), layer)
        cycles = (cocotb.utils.get_sim_time("ns") - start) // 10
        np.testing.assert_array_equal(memory, model)
        assert p_ready < 1 or cycles <= n_writes + 1
        dut.writes__ready.value = 1
        if n_gaps == 0:
            await RisingEdge(dut.clk)
            assert dut.busy.value
        for _ in range(3):
            await RisingEdge(dut.clk)
            assert not dut.busy.value
            assert not dut.writes__valid.value
