"""Bit reader against a Python integer: random takes, aligns, restarts and rates."""

import os

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from tests.hdl.tb.streams import put, reset

WINDOW_BITS = int(os.environ["WINDOW_BITS"])
MASK = (1 << WINDOW_BITS) - 1


async def begin(dut):
    """Silence what an earlier test left behind, and reset."""
    for name in ("words__valid", "take", "align", "restart"):
        getattr(dut, name).value = 0
    await reset(dut)


def random_words(rng, n):
    """``n`` random words, and all of them as one integer."""
    words = [int(w) for w in rng.integers(0, 1 << 64, n, dtype=np.uint64)]
    return words, sum(w << 64 * i for i, w in enumerate(words))


async def read(dut, bits, n_total, rng, *, sizes, p_take, p_align):
    """Take bits until ``n_total`` are consumed, checking each window; returns cycles, takes and aligns."""
    position = n_cycles = n_takes = n_aligns = 0
    while position < n_total:
        await FallingEdge(dut.clk)
        n_cycles += 1
        take = int(dut.available.value and rng.random() < p_take)
        # An align may come without a take, and while an earlier one is under way.
        align = int(rng.random() < p_align)
        n = int(rng.choice(sizes))
        dut.take.value, dut.align.value, dut.n_bits.value = take, align, n
        if dut.available.value:
            assert int(dut.window.value) == bits >> position & MASK, f"at bit {position}"
        if take:
            position += n
            n_takes += 1
        if align:
            position += -position % 64
            n_aligns += 1
    await FallingEdge(dut.clk)
    dut.take.value = dut.align.value = 0
    return n_cycles, n_takes, n_aligns


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(p_valid=[1.0, 0.3], p_take=[1.0, 0.6], p_align=[0.0, 0.02, 0.3])
async def windows_follow_the_stream(dut, p_valid, p_take, p_align):
    rng, put_rng = np.random.default_rng(cocotb.RANDOM_SEED).spawn(2)
    await begin(dut)
    words, bits = random_words(rng, 220)
    cocotb.start_soon(put(dut, "words", words, put_rng, p_valid))
    _, n_takes, n_aligns = await read(
        dut, bits, 64 * 200, rng, sizes=range(WINDOW_BITS + 1), p_take=p_take, p_align=p_align
    )
    assert n_takes > 150
    assert (n_aligns > 5) == (p_align > 0)


@cocotb.test(timeout_time=50, timeout_unit="us")
async def sustains_a_window_a_cycle(dut):
    rng, put_rng = np.random.default_rng(cocotb.RANDOM_SEED).spawn(2)
    await begin(dut)
    words, bits = random_words(rng, 420)
    cocotb.start_soon(put(dut, "words", words, put_rng, 1.0))
    while not dut.available.value:
        await FallingEdge(dut.clk)
    # An odd size now and then, so that all alignments of a chunk occur.
    n_cycles, n_takes, _ = await read(
        dut, bits, WINDOW_BITS * 1000, rng, sizes=[WINDOW_BITS] * 9 + [WINDOW_BITS - 1], p_take=1.0, p_align=0.0
    )
    assert n_cycles == n_takes >= 1000


@cocotb.test(timeout_time=50, timeout_unit="us")
async def align_costs_two_cycles(dut):
    """From every position in a word, with and without words behind; on a boundary nothing is dropped, in one cycle."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await begin(dut)
    for n_steps, size in [
        (1, 1),
        (1, 8),
        (8, 8),
        (7, 8),
        (3, 12),
        (5, 10),
        (16, 8),
        (13, 5),
        (16, 4),
        (63, 1),
        (64, 1),
    ]:
        dut.restart.value = 1
        await FallingEdge(dut.clk)
        dut.restart.value = 0
        words, bits = random_words(rng, 6)
        feeder = cocotb.start_soon(put(dut, "words", words, rng.spawn(1)[0], 1.0))
        for _ in range(8):
            await FallingEdge(dut.clk)
        for step in range(n_steps):
            assert dut.available.value
            dut.take.value, dut.n_bits.value, dut.align.value = 1, size, int(step == n_steps - 1)
            await FallingEdge(dut.clk)
        dut.take.value = dut.align.value = 0
        position = n_steps * size
        lost = 0
        while not dut.available.value:
            lost += 1
            await FallingEdge(dut.clk)
        assert lost == (2 if position % 64 else 1)
        assert int(dut.window.value) == bits >> (position + -position % 64) & MASK
        feeder.cancel()
        dut.words__valid.value = 0


@cocotb.test(timeout_time=50, timeout_unit="us")
async def restart_empties(dut):
    """At any moment, then a new stream from its first bit; nothing is available before its words are there."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await begin(dut)
    for _ in range(40):
        words, bits = random_words(rng, 20)
        put_rng, read_rng = rng.spawn(2)
        feeder = cocotb.start_soon(put(dut, "words", words, put_rng, 0.7))
        n_total = int(rng.integers(1, 600))
        await read(dut, bits, n_total, read_rng, sizes=[4, 8, WINDOW_BITS], p_take=0.8, p_align=0.1)
        feeder.cancel()
        dut.words__valid.value = 0
        dut.align.value = int(rng.integers(2))
        dut.restart.value = 1
        await FallingEdge(dut.clk)
        dut.restart.value = dut.align.value = 0
        for _ in range(5):
            assert not dut.available.value
            await FallingEdge(dut.clk)
