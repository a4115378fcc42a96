"""Segment fetch on a weight memory: contents, wrapping, restarts and rates of random segments."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pumice.spec.config import CONFIGS
from pumice.spec.descriptor import PREAMBLE, ROW
from pumice_hdl.layouts import tap_pair_layout

from tests.hdl.tb.streams import get, reset, unpack

CONFIG = CONFIGS[os.environ["PUMICE_CONFIG"]]


def random_rows(rng, n_rows):
    """Packed rows, the last one flagged."""
    rows = []
    for i in range(n_rows):
        fields = {f.name: int(rng.integers(1 << (f.bits - f.signed))) for f in ROW.fields}
        rows.append(ROW.pack(**fields | {"last": int(i == n_rows - 1)}))
    return rows


async def write_segment(dut, rng, address, n_taps, n_rows, n_words):
    """Put a random segment into memory; returns taps, rows (128-bit integers) and words."""
    taps = rng.integers(-(1 << 31), 1 << 31, n_taps).tolist()
    rows = random_rows(rng, n_rows)
    stream = [int(w) for w in rng.integers(0, 1 << 64, n_words, dtype=np.uint64)]
    halves = [t & 0xFFFFFFFF for t in taps] + [0] * (n_taps % 2)
    pairs = [low | high << 32 for low, high in zip(halves[::2], halves[1::2], strict=True)]
    preamble = PREAMBLE.pack(n_taps=n_taps, n_rows=n_rows, n_stream_words=n_words)
    for i, word in enumerate([*preamble, *pairs, *(half for row in rows for half in row), *stream]):
        dut.write__enable.value = 1
        dut.write__address.value = address + i
        dut.write__data.value = word
        await RisingEdge(dut.clk)
    dut.write__enable.value = 0
    return taps, [low | high << 64 for low, high in rows], stream


async def start(dut, address):
    """Pulse ``start``."""
    dut.start.value = 1
    dut.segment.value = address
    await RisingEdge(dut.clk)
    dut.start.value = 0


async def watch_taps(dut, got):
    """Append the pairs that arrive to ``got``, for ever."""
    while True:
        await RisingEdge(dut.clk)
        if dut.taps_valid.value:
            got.append(int(dut.taps.value))


def tap_table(pairs, n_taps):
    """Offsets of a list of tap pairs, whose indices must be in order."""
    views = [unpack(tap_pair_layout(CONFIG), p) for p in pairs]
    assert [v.pair for v in views] == list(range(len(pairs)))
    return [v.offsets[i] for v in views for i in range(2)][:n_taps]


def repeated(items, n):
    """The first ``n`` of ``items`` over and over."""
    return [items[i % len(items)] for i in range(n)]


async def check_segment(dut, rng, contents, p_ready, n):
    """Taps, and ``n`` rounds or so of headers and words, of the segment that was started in the previous cycle."""
    taps, rows, words = contents
    pairs = []
    watcher = cocotb.start_soon(watch_taps(dut, pairs))
    header_rng, word_rng = rng.spawn(2)
    tasks = [cocotb.start_soon(get(dut, "headers", n, header_rng, p_ready))]
    if words:
        tasks.append(cocotb.start_soon(get(dut, "words", 3 * n, word_rng, p_ready)))
    assert await tasks[0] == repeated(rows, n)
    if words:
        assert await tasks[1] == repeated(words, 3 * n)
    assert dut.loaded.value
    assert dut.n_rows.value == len(rows)
    watcher.cancel()
    assert len(pairs) == -(-len(taps) // 2)
    assert tap_table(pairs, len(taps)) == [t % CONFIG.activation_bytes for t in taps]


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(p_ready=[1.0, 0.3, 0.05])
async def segments_arrive(dut, p_ready):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    sizes = [(1, 1, 1), (2, 2, 0), (9, 3, 2), (0, 1, 7), (CONFIG.max_taps, 5, 40), (3, 40, 1)]
    for n_taps, n_rows, n_words in sizes:
        address = int(rng.integers(0, CONFIG.weight_depth - 300))
        contents = await write_segment(dut, rng, address, n_taps, n_rows, n_words)
        await start(dut, address)
        await check_segment(dut, rng, contents, p_ready, 60 if p_ready > 0.1 else 12)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def start_drops_what_was_under_way(dut):
    """Two starts, any number of cycles apart: only the second segment's data follow."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    old = await write_segment(dut, rng, 100, 7, 3, 5)
    new = await write_segment(dut, rng, 200, 4, 4, 9)
    assert old != new
    for gap in range(30):
        await start(dut, 100)
        dut.headers__ready.value = dut.words__ready.value = gap % 2
        for _ in range(gap):
            await RisingEdge(dut.clk)
        await start(dut, 200)
        await check_segment(dut, rng, new, 0.7, 10)


@cocotb.test(timeout_time=20, timeout_unit="us")
async def no_rows(dut):
    """A core without rows: loaded, then silence, even when the other counts are not zero."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    full = await write_segment(dut, rng, 0, 5, 2, 3)
    await write_segment(dut, rng, CONFIG.weight_depth - 4, 1, 0, 2)
    await start(dut, 0)
    await check_segment(dut, rng, full, 1.0, 4)
    await start(dut, CONFIG.weight_depth - 4)
    pairs = []
    watcher = cocotb.start_soon(watch_taps(dut, pairs))
    await RisingEdge(dut.clk)
    assert not dut.loaded.value
    for _ in range(40):
        await RisingEdge(dut.clk)
        assert not dut.headers__valid.value
        assert not dut.words__valid.value
    assert dut.loaded.value
    assert dut.n_rows.value == 0
    assert not pairs
    watcher.cancel()


@cocotb.test(timeout_time=50, timeout_unit="us")
async def rates(dut):
    """The first header and word come when promised; then one header and six words each eight cycles."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    n_taps = 9
    _, rows, words = await write_segment(dut, rng, 32, n_taps, 5, 23)
    await start(dut, 32)
    seen = {}
    for cycle in range(1, 40):
        await RisingEdge(dut.clk)
        for name in ("headers", "words"):
            if getattr(dut, f"{name}__valid").value:
                seen.setdefault(name, cycle)
    assert seen == {"headers": 10 + -(-n_taps // 2), "words": 13 + -(-n_taps // 2)}
    got_rows, got_words = [], []
    for cycle in range(800):
        dut.headers__ready.value = int(cycle % 8 == 0)
        dut.words__ready.value = int(cycle % 8 < 6)
        await RisingEdge(dut.clk)
        if cycle % 8 == 0 and dut.headers__valid.value:
            got_rows.append(int(dut.headers__payload.value))
        if cycle % 8 < 6 and dut.words__valid.value:
            got_words.append(int(dut.words__payload.value))
    assert got_rows == repeated(rows, 100)
    assert got_words == repeated(words, 600)
