"""Segment fetch on a weight memory: contents, wrapping, restarts and rates of random segments."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from pumice.spec.config import CONFIGS
from pumice.spec.descriptor import PREAMBLE, ROW
from pumice_hdl.layouts import ROW_LAYOUT, ROW_LENGTH_LAYOUT, TABLE_WORD_LAYOUT, tap_pair_layout

from tests.hdl.tb.streams import get, reset, unpack

CONFIG = CONFIGS[os.environ["PUMICE_CONFIG"]]


def random_rows(rng, n_rows):
    """Packed rows, the last one flagged."""
    rows = []
    for i in range(n_rows):
        fields = {f.name: int(rng.integers(1 << (f.bits - f.signed))) for f in ROW.fields}
        rows.append(ROW.pack(**fields | {"last": int(i == n_rows - 1)}))
    return rows


def random_words(rng, n):
    """``n`` random 64-bit integers."""
    return [int(w) for w in rng.integers(0, 1 << 64, n, dtype=np.uint64)]


async def write_segment(dut, rng, address, n_taps, n_rows, n_words, n_table_words=0):
    """Put a random segment into memory; returns taps, value table, rows (128-bit integers) and both streams' words."""
    taps = rng.integers(-(1 << 31), 1 << 31, n_taps).tolist()
    rows = random_rows(rng, n_rows)
    table, indices, values = (random_words(rng, n) for n in (n_table_words, *n_words))
    halves = [t & 0xFFFFFFFF for t in taps] + [0] * (n_taps % 2)
    pairs = [low | high << 32 for low, high in zip(halves[::2], halves[1::2], strict=True)]
    preamble = PREAMBLE.pack(
        n_taps=n_taps,
        n_rows=n_rows,
        n_table_words=n_table_words,
        n_index_words=n_words[0],
        n_value_words=n_words[1],
    )
    for i, word in enumerate([*preamble, *pairs, *table, *(half for row in rows for half in row), *indices, *values]):
        dut.write__enable.value = 1
        dut.write__address.value = address + i
        dut.write__data.value = word
        await RisingEdge(dut.clk)
    dut.write__enable.value = 0
    return taps, table, [low | high << 64 for low, high in rows], indices, values


async def start(dut, address, striped=0):
    """Pulse ``start``."""
    dut.start.value = 1
    dut.striped.value = striped
    dut.segment.value = address
    await RisingEdge(dut.clk)
    dut.start.value = 0


async def watch(dut, valid, value, got):
    """Append ``value`` to ``got`` in each cycle with ``valid``, until cancelled or the test's time is up."""
    while True:
        await RisingEdge(dut.clk)
        if valid.value:
            got.append(int(value.value))


def tap_table(pairs, n_taps):
    """Offsets of a list of tap pairs, whose indices must be in order."""
    views = [unpack(tap_pair_layout(CONFIG), p) for p in pairs]
    assert [v.pair for v in views] == list(range(len(pairs)))
    return [v.offsets[i] for v in views for i in range(2)][:n_taps]


def repeated(items, n):
    """The first ``n`` of ``items`` over and over."""
    return [items[i % len(items)] for i in range(n)]


async def check_segment(dut, rng, contents, p_ready, n):
    """Taps, value table, and ``n`` rounds or so of headers and words, of the segment that was started a cycle ago."""
    taps, table, rows, *streams = contents
    pairs, table_words, lengths = [], [], []
    dut.lengths__ready.value = 1
    watchers = [
        cocotb.start_soon(watch(dut, dut.taps_valid, dut.taps, pairs)),
        cocotb.start_soon(watch(dut, dut.table_valid, dut.table, table_words)),
        cocotb.start_soon(watch(dut, dut.lengths__valid, dut.lengths__payload, lengths)),
    ]
    header_rng, *word_rngs = rng.spawn(3)
    tasks = [cocotb.start_soon(get(dut, "headers", n, header_rng, p_ready))]
    for name, words, word_rng in zip(("indices", "values"), streams, word_rngs, strict=True):
        if words:
            tasks.append(cocotb.start_soon(get(dut, name, 2 * n, word_rng, p_ready)))
    expected = [repeated(rows, n), *(repeated(words, 2 * n) for words in streams if words)]
    assert [await task for task in tasks] == expected
    assert dut.has_indices.value == bool(streams[0])
    assert dut.loaded.value
    assert dut.no_rows.value == (not rows)
    for watcher in watchers:
        watcher.cancel()
    headers = [unpack(ROW_LAYOUT, row) for row in repeated(rows, len(lengths))]
    lengths = [unpack(ROW_LENGTH_LAYOUT, length) for length in lengths]
    assert [(x.n_steps, x.last) for x in lengths] == [(x.n_steps, x.last) for x in headers]
    assert len(lengths) >= n
    views = [unpack(TABLE_WORD_LAYOUT, word) for word in table_words]
    assert [(view.index, view.word) for view in views] == list(enumerate(table))
    assert len(pairs) == -(-len(taps) // 2)
    assert tap_table(pairs, len(taps)) == [t % CONFIG.activation_bytes for t in taps]


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(p_ready=[1.0, 0.3, 0.05])
async def segments_arrive(dut, p_ready):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    sizes = [
        (1, 1, (1, 1), 0), (2, 2, (0, 0), 1), (9, 3, (2, 3), 38), (0, 1, (7, 1), 0), (CONFIG.max_taps, 5, (40, 20), 2),
        (3, 40, (0, 1), 7), (3, 4, (1, 9), 0),
    ]  # fmt: skip
    for n_taps, n_rows, n_words, n_table_words in sizes:
        address = int(rng.integers(0, CONFIG.weight_depth - 300))
        contents = await write_segment(dut, rng, address, n_taps, n_rows, n_words, n_table_words)
        await start(dut, address)
        await check_segment(dut, rng, contents, p_ready, 60 if p_ready > 0.1 else 12)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def start_drops_what_was_under_way(dut):
    """Two starts, any number of cycles apart: only the second segment's data follow."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    old = await write_segment(dut, rng, 100, 7, 3, (2, 3), 3)
    new = await write_segment(dut, rng, 200, 4, 4, (5, 4), 4)
    assert old != new
    for gap in range(34):
        await start(dut, 100)
        dut.headers__ready.value = dut.indices__ready.value = dut.values__ready.value = gap % 2
        for _ in range(gap):
            await RisingEdge(dut.clk)
        await start(dut, 200)
        await check_segment(dut, rng, new, 0.7, 10)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_start_forgets_rows_that_are_taken_with_it(dut):
    """Rows are taken up to the start of a striped segment, and then none for long: no more are read than fit."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    await write_segment(dut, rng, 100, 1, 3, (2, 3))
    _, _, rows, *_ = await write_segment(dut, rng, 200, 1, 40, (0, 0))
    for gap in range(10, 20):
        await start(dut, 100)
        dut.headers__ready.value = 1
        for _ in range(gap):
            await RisingEdge(dut.clk)
        await start(dut, 200, striped=1)
        dut.headers__ready.value = 0
        for _ in range(80):
            await RisingEdge(dut.clk)
        assert await get(dut, "headers", 40, rng, 1.0) == rows


@cocotb.test(timeout_time=20, timeout_unit="us")
async def no_rows(dut):
    """A core without rows: loaded, then silence, even when the other counts are not zero."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    full = await write_segment(dut, rng, 0, 5, 2, (1, 2))
    await write_segment(dut, rng, CONFIG.weight_depth - 5, 1, 0, (1, 1), 1)
    await start(dut, 0)
    await check_segment(dut, rng, full, 1.0, 4)
    await start(dut, CONFIG.weight_depth - 5)
    pairs = []
    watcher = cocotb.start_soon(watch(dut, dut.taps_valid, dut.taps, pairs))
    await RisingEdge(dut.clk)
    assert not dut.loaded.value
    for _ in range(40):
        await RisingEdge(dut.clk)
        assert not dut.headers__valid.value
        assert not dut.indices__valid.value
        assert not dut.values__valid.value
    assert dut.loaded.value
    assert dut.no_rows.value == 1
    assert not pairs
    watcher.cancel()


@cocotb.test(timeout_time=50, timeout_unit="us")
async def rates(dut):
    """The first header and words come when promised; then one header and six words each eight cycles."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await reset(dut)
    n_taps, n_table_words = 9, 6
    _, _, rows, *streams = await write_segment(dut, rng, 32, n_taps, 5, (23, 17), n_table_words)
    await start(dut, 32)
    seen = {}
    for cycle in range(1, 40):
        await RisingEdge(dut.clk)
        for name in ("headers", "indices", "values"):
            if getattr(dut, f"{name}__valid").value:
                seen.setdefault(name, cycle)
    n_words_before = -(-n_taps // 2) + n_table_words
    assert seen == {"headers": 10 + n_words_before, "indices": 15 + n_words_before, "values": 16 + n_words_before}
    got = {"headers": [], "indices": [], "values": []}
    for cycle in range(800):
        readies = {"headers": cycle % 8 == 0, "indices": cycle % 8 < 3, "values": cycle % 8 >= 5}
        for name, ready in readies.items():
            getattr(dut, f"{name}__ready").value = int(ready)
        await RisingEdge(dut.clk)
        for name, ready in readies.items():
            if ready and getattr(dut, f"{name}__valid").value:
                got[name].append(int(getattr(dut, f"{name}__payload").value))
    assert got["headers"] == repeated(rows, 100)
    assert [got["indices"], got["values"]] == [repeated(words, 300) for words in streams]
