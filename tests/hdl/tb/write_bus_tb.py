"""All sources at once against a byte array; each has its own part of the memory, so only its own order matters."""

import os
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from pumice.spec.config import CONFIGS
from pumice_hdl.engine.store import StoreUnit
from pumice_hdl.engine.write_bus import TURNS
from pumice_hdl.layouts import LAYER_LAYOUT, bank_write_layout, row_result_layout
from pumice_hdl.system.buses import activation_write_layout

from .memory_model import fill_gaps, store, tile
from .streams import pack, put, reset, unpack

CONFIG = CONFIGS[os.environ["CONFIG"]]
W, SIZE = CONFIG.n_lanes, CONFIG.activation_bytes
ALL_CORES = (1 << CONFIG.n_cores) - 1
CORE_BYTES = SIZE // 2 // CONFIG.n_cores
DMA_START, GAPS_START = SIZE // 2, 3 * SIZE // 4  # the last gap runs over the end into the first WRAPPED_BYTES
WRAPPED_BYTES = 2 * W
PITCH = 1000
IDLE_LIMIT = 2000  # cycles, several times what is ever left
RESULT_CYCLES = StoreUnit.latency + 2 + W.bit_length() // 2  # from taking a result to its bank write, both included


def random_layer(rng, phase_store, n_gaps=5):
    """A layer whose last gap ends behind the end of the memory."""
    row_stride = int(rng.integers(1, 4 * W))
    gap_bytes, gap_pitch = 3 * W // 2 + int(rng.integers(W)), 3 * W + int(rng.integers(9))
    gap_start = SIZE + int(rng.integers(1, W)) - gap_bytes - (n_gaps - 1) * gap_pitch
    return {
        "phase_store": phase_store, "row_stride": row_stride, "read_offset": 13,
        "write_offset": 77, "phase_stride": row_stride // 2 + 1,
        "phase_vectors": PITCH // W,
        "gap_start": gap_start, "gap_pitch": gap_pitch, "gap_bytes": gap_bytes, "n_gaps": n_gaps,
        "zero_point": int(rng.integers(-128, 128)),
    }  # fmt: skip


def random_results(rng, model, core, n, layer):
    """Payloads of ``n`` row results of a core, applied to ``model``."""
    for _ in range(n):
        first, n_store = W * int(rng.integers(20)), int(rng.integers(1, W + 1))
        out_address = core * CORE_BYTES + WRAPPED_BYTES + int(rng.integers(CORE_BYTES - WRAPPED_BYTES - 4 * PITCH))
        vector = rng.integers(0, 256, W)
        store(model, vector, out_address, first, n_store, layer)
        place = tile(first, n_store, layer, W, CONFIG.address_bits)
        yield pack(row_result_layout(CONFIG), {"data": vector.tolist(), "out_address": out_address, "tile": place})


def random_dma_writes(rng, model, n):
    """Payloads of ``n`` DMA writes, applied to ``model``."""
    for _ in range(n):
        address, eight = 8 * int(rng.integers(DMA_START // 8, GAPS_START // 8)), rng.bytes(8)
        cores = int(rng.choice([ALL_CORES, rng.integers(1, ALL_CORES + 1)]))
        for core in range(CONFIG.n_cores):
            if cores >> core & 1:
                model[core, address : address + 8] = list(eight)
        fields = {"address": address, "data": int.from_bytes(eight, "little"), "cores": cores}
        yield pack(activation_write_layout(CONFIG), fields)


class Banks:
    """Applies and counts what the bus hands to the banks of each core; ``idle`` must be low all the way of a result
    or gap.
    """

    def __init__(self, dut):
        self.memory, self.n_writes = np.zeros((CONFIG.n_cores, SIZE), np.int64), 0
        cocotb.start_soon(self._watch(dut))

    async def _watch(self, dut):
        idle = deque(maxlen=RESULT_CYCLES)
        while True:
            await RisingEdge(dut.clk)
            idle.append(bool(dut.idle.value))
            write = unpack(bank_write_layout(CONFIG), int(dut.banks.value))
            if write.enable:
                self.n_writes += 1
                first_row = write.rows[(write.enable & -write.enable).bit_length() - 1]
                is_result = WRAPPED_BYTES // W <= first_row < DMA_START // W
                is_dma = DMA_START // W <= first_row < GAPS_START // W
                assert is_dma or not (any(idle) if is_result else idle[-1])
            written = [c for c in range(CONFIG.n_cores) if int(dut.cores.value) >> c & 1]
            for b in range(W):
                if write.enable >> b & 1:
                    self.memory[written, write.rows[b] * W + b] = write.data[b]


async def longest_wait(dut, name, waits):
    """Keep in ``waits[name]`` the longest run of cycles that a valid payload of a stream was not taken."""
    valid, ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
    run = waits[name] = 0
    while True:
        await RisingEdge(dut.clk)
        run = run + 1 if valid.value and not ready.value else 0
        waits[name] = max(waits[name], run)


async def start(dut):
    """Reset with silent sources; the watched banks."""
    dut.go.value = 0
    dut.activation_writes__valid.value = 0
    for core in range(CONFIG.n_cores):
        getattr(dut, f"results__{core}__valid").value = 0
    await reset(dut)
    return Banks(dut)


async def until_idle(dut):
    """Wait until nothing is left at the bus."""
    for _ in range(IDLE_LIMIT):
        if dut.idle.value:
            return
        await RisingEdge(dut.clk)
    raise AssertionError(f"the bus is still at work after {IDLE_LIMIT} cycles")


async def go(dut, layer):
    """Give the layer and the pulse."""
    dut.go.value = 1
    await RisingEdge(dut.clk)
    dut.go.value = 0
    dut.layer.value = pack(LAYER_LAYOUT, layer)
    await RisingEdge(dut.clk)


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(p_valid=[1.0, 0.3, 0.03])
async def everything_arrives(dut, p_valid):
    rng, *put_rngs = np.random.default_rng(cocotb.RANDOM_SEED).spawn(CONFIG.n_cores + 2)
    model = np.zeros((CONFIG.n_cores, SIZE), np.int64)
    banks = await start(dut)
    for phase_store in (0, 1, 0, 1, 1):
        layer = random_layer(rng, phase_store)
        fill_gaps(model, layer)
        dma_writes = list(random_dma_writes(rng, model, 20))
        results = [list(random_results(rng, model, core, 12, layer)) for core in range(CONFIG.n_cores)]
        await go(dut, layer)
        streams = {f"results__{core}": items for core, items in enumerate(results)} | {"activation_writes": dma_writes}
        sources = [
            cocotb.start_soon(put(dut, name, items, put_rng, p_valid))
            for put_rng, (name, items) in zip(put_rngs, streams.items(), strict=True)
        ]
        for source in sources:
            await source
        await RisingEdge(dut.clk)
        await until_idle(dut)
        await ClockCycles(dut.clk, RESULT_CYCLES)  # the DMA's writes do not count for ``idle``
        await Timer(1, "ns")
        np.testing.assert_array_equal(banks.memory, model)
        n_writes = banks.n_writes
        for _ in range(20):
            await RisingEdge(dut.clk)
            assert dut.idle.value
        assert banks.n_writes == n_writes


@cocotb.test(timeout_time=50, timeout_unit="us")
async def nobody_starves(dut):
    rng, *put_rngs = np.random.default_rng(cocotb.RANDOM_SEED).spawn(CONFIG.n_cores + 2)
    model, waits = np.zeros((CONFIG.n_cores, SIZE), np.int64), {}
    n_results, n_dma_writes = 400 // CONFIG.n_cores, 15
    banks = await start(dut)
    layer = random_layer(rng, phase_store=0)
    fill_gaps(model, layer)
    dma_writes = list(random_dma_writes(rng, model, n_dma_writes))
    results = [list(random_results(rng, model, core, n_results, layer)) for core in range(CONFIG.n_cores)]
    await go(dut, layer)
    begin = cocotb.utils.get_sim_time("ns")
    cocotb.start_soon(put(dut, "activation_writes", dma_writes, put_rngs.pop(), 1.0))
    cocotb.start_soon(longest_wait(dut, "activation_writes", waits))
    sources = []
    for core, put_rng in enumerate(put_rngs[: CONFIG.n_cores]):
        sources.append(cocotb.start_soon(put(dut, f"results__{core}", results[core], put_rng, 1.0)))
        cocotb.start_soon(longest_wait(dut, f"results__{core}", waits))
    for source in sources:
        await source
    await Timer(1, "ns")
    np.testing.assert_array_equal(banks.memory[:, DMA_START:], model[:, DMA_START:], "starved by results")
    await until_idle(dut)
    cycles = (cocotb.utils.get_sim_time("ns") - begin) // 10
    await Timer(1, "ns")
    np.testing.assert_array_equal(banks.memory, model)
    assert cycles <= banks.n_writes + 12, f"{cycles} cycles for {banks.n_writes} writes"
    assert waits.pop("activation_writes") < TURNS
    assert max(waits.values()) <= CONFIG.n_cores + 2


@cocotb.test(timeout_time=50, timeout_unit="us")
async def the_dma_goes_before_gaps(dut):
    """But for a cycle at the beginning, and one in `TURNS`."""
    rng, put_rng = np.random.default_rng(cocotb.RANDOM_SEED).spawn(2)
    model, waits = np.zeros((CONFIG.n_cores, SIZE), np.int64), {}
    banks = await start(dut)
    layer = random_layer(rng, phase_store=0)
    fill_gaps(model, layer)
    dma_writes = list(random_dma_writes(rng, model, 2 * TURNS))
    await go(dut, layer)
    cocotb.start_soon(longest_wait(dut, "activation_writes", waits))
    await put(dut, "activation_writes", dma_writes, put_rng, 1.0)
    assert not dut.idle.value, "no gaps are left beside the DMA"
    assert waits["activation_writes"] <= 1
    await until_idle(dut)
    await ClockCycles(dut.clk, RESULT_CYCLES)
    await Timer(1, "ns")
    np.testing.assert_array_equal(banks.memory, model)
