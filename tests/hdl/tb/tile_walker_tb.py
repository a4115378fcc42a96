"""Tile walker against the definition of a layer's lanes."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pumice.spec.config import CONFIGS
from pumice_hdl.layouts import LAYER_LAYOUT, tile_layout

from tests.hdl.tb.streams import get, pack, reset

CONFIG = CONFIGS[os.environ["PUMICE_CONFIG"]]
W = CONFIG.n_lanes
# (width, row_stride, n_valid, n_store)
PLANES = [
    (1, 1, 1, 1),
    (1, 1, 3 * W + 1, 3 * W + 2),
    (1, 2, 2 * W, 2 * W),
    (2, 3, 40, 43),
    (5, 6, 70, 72),
    (W, W, 3 * W, 3 * W),
    (W - 1, W, 3 * W - 1, 3 * W),
    (W, W + 1, 4 * (W + 1), 4 * (W + 1)),
    (2 * W + 3, 2 * W + 4, 6 * W + 12, 6 * W + 12),
    (5 * W, 7 * W, 14 * W, 14 * W),
    (48, 50, 450, 500),
    (65535, 65535, 10 * W, 10 * W + 1),
    (0, 4, 9, 12),
]


READ_OFFSET = CONFIG.activation_bytes - 3 * W - 5  # wraps in the layers that are long enough


def phase_stride(width):
    """Neither half of the width nor of the row stride."""
    return width // 2 + 3


def expected_tiles(width, row_stride, n_valid, n_store):
    """Packed payloads, lane by lane from the definition in `pumice.spec.descriptor`."""
    tiles = []
    n_tiles = -(-n_store // W)
    for t in range(n_tiles):
        q = np.arange(W * t, W * (t + 1))
        valid = (q % row_stride < width) & (q < n_valid)
        y, x = divmod(W * t, row_stride)
        fields = {
            "position": (READ_OFFSET + W * t) % CONFIG.activation_bytes,
            "n_store": int((q < n_store).sum()),
            "valid": sum(1 << i for i in np.flatnonzero(valid).tolist()),
            "x": x,
            "odd_row": y & 1,
            "phase_row": (y >> 1) * phase_stride(width) % CONFIG.activation_bytes,
            "last": int(t == n_tiles - 1),
        }
        tiles.append(pack(tile_layout(CONFIG), fields))
    return tiles


async def start(dut, width, row_stride, n_valid, n_store, n_tiles):
    """Present a descriptor and pulse ``start``."""
    fields = dict(width=width, row_stride=row_stride, n_valid=n_valid, n_store=n_store, n_tiles=n_tiles)
    fields |= {"phase_stride": phase_stride(width), "read_offset": READ_OFFSET}
    dut.layer.value = pack(LAYER_LAYOUT, fields)
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0


async def quiet(dut, n_cycles):
    """Nothing may come."""
    dut.tiles__ready.value = 1
    for _ in range(n_cycles):
        await RisingEdge(dut.clk)
        assert not dut.tiles__valid.value
    dut.tiles__ready.value = 0


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(p_ready=[1.0, 0.5, 0.05])
async def tiles_match_the_definition(dut, p_ready):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    dut.start.value = dut.tiles__ready.value = 0
    await reset(dut)
    planes = list(PLANES)
    for _ in range(20):
        stride = int(rng.integers(1, 3 * W))
        n_valid = int(rng.integers(1, 8 * W))
        planes.append((int(rng.integers(1, stride + 1)), stride, n_valid, n_valid + int(rng.integers(0, 5))))
    for plane in planes:
        expected = expected_tiles(*plane)
        await start(dut, *plane, n_tiles=len(expected))
        got = await get(dut, "tiles", len(expected), rng, p_ready)
        assert got == expected, plane
        await quiet(dut, W + 4)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def start_drops_earlier_tiles(dut):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    dut.start.value = dut.tiles__ready.value = 0
    await reset(dut)
    for gap in range(2 * W + 4):
        dut.tiles__ready.value = gap % 2
        await start(dut, 3, 5, 6 * W, 6 * W, n_tiles=6)
        for _ in range(gap):
            await RisingEdge(dut.clk)
        expected = expected_tiles(4, 7, 5 * W, 5 * W)
        await start(dut, 4, 7, 5 * W, 5 * W, n_tiles=5)
        assert await get(dut, "tiles", 5, rng, 0.8) == expected
        await quiet(dut, W + 4)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def rates(dut):
    """As many cycles a tile as rows it touches, at most W; another is ready behind a tile that is held."""
    dut.start.value = dut.tiles__ready.value = 0
    await reset(dut)
    for width, stride, cycles in [(4 * W, 4 * W, 1), (W // 2, W // 2, 2), (3, 4, W // 4), (1, 1, W)]:
        dut.tiles__ready.value = 1
        await start(dut, width, stride, 50 * W, 50 * W, n_tiles=50)
        times = []
        for now in range(1, 50 * cycles + 4):
            await RisingEdge(dut.clk)
            if dut.tiles__valid.value:
                times.append(now)
        assert times == [2 + cycles * (i + 1) for i in range(50)]
        dut.tiles__ready.value = 0
        await start(dut, width, stride, 50 * W, 50 * W, n_tiles=50)
        for _ in range(2 * W + 4):
            await RisingEdge(dut.clk)
        dut.tiles__ready.value = 1
        for _ in range(2):
            await RisingEdge(dut.clk)
            assert dut.tiles__valid.value
        dut.tiles__ready.value = 0
