"""Row results through the store unit: its writes, performed in order, must give the memory of a position-wise model."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pumice.spec.config import CONFIGS
from pumice_hdl.layouts import LAYER_LAYOUT, row_result_layout, vector_write_layout

from .memory_model import apply_write, store, tile
from .streams import get, pack, put, reset, unpack

CONFIG = CONFIGS[os.environ["CONFIG"]]
N_RESULTS = 40


def n_writes(first, n_store, layer):
    """Writes of one result: with phase store one for each row, and one for a whole vector's last lane."""
    rows = (first + n_store - 1) // layer["row_stride"] - first // layer["row_stride"] + 1
    starts_odd = first % layer["row_stride"] % 2
    return rows + (rows == 1 and n_store == CONFIG.n_lanes and starts_odd) if layer["phase_store"] else 1


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(
    p=[(1.0, 1.0), (0.3, 1.0), (0.7, 0.4)],
    store_=[(0, 7), (0, 600), (1, 1), (1, 2), (1, 3), (1, 7), (1, 8), (1, 9), (1, 33), (1, 34), (1, 201)],
)
async def writes_give_the_modelled_memory(dut, p, store_):
    rng, put_rng, get_rng = np.random.default_rng(cocotb.RANDOM_SEED).spawn(3)
    w, size = CONFIG.n_lanes, CONFIG.activation_bytes
    phase_store, row_stride = store_
    layer = {
        "phase_store": phase_store,
        "row_stride": row_stride,
        "read_offset": int(rng.integers(size)),
        "write_offset": int(rng.integers(size)),
        "phase_stride": int(rng.integers(row_stride // 4 + 1, row_stride + 3)),
        "phase_vectors": int(rng.integers(size // 8, size // 5)) // w,
    }
    dut.layer.value = pack(LAYER_LAYOUT, layer)
    await reset(dut)
    results, model, total = [], np.zeros(size, np.int64), 0
    for i in range(N_RESULTS):
        vector = rng.integers(1, 256, w)
        first = w * int(rng.integers(100))
        n_store = w if i % 2 else int(rng.integers(1, w + 1))
        out_address = int(rng.integers(size))
        store(model, vector, out_address, first, n_store, layer)
        total += n_writes(first, n_store, layer)
        place = tile(first, n_store, layer, w, CONFIG.address_bits)
        fields = {"data": vector.tolist(), "out_address": out_address, "tile": place}
        results.append(pack(row_result_layout(CONFIG), fields))
    start = cocotb.utils.get_sim_time("ns")
    cocotb.start_soon(put(dut, "results", results, put_rng, p[0]))
    writes = await get(dut, "writes", total, get_rng, p[1])
    cycles = (cocotb.utils.get_sim_time("ns") - start) // 10
    memory = np.zeros(size, np.int64)
    for write in writes:
        apply_write(memory, unpack(vector_write_layout(CONFIG), write), layer)
    np.testing.assert_array_equal(memory, model)
    if p == (1.0, 1.0):
        assert cycles <= total + 3, f"{cycles} cycles for {total} writes"
    for _ in range(5):
        await RisingEdge(dut.clk)
        assert not dut.writes__valid.value
        assert not dut.busy.value
