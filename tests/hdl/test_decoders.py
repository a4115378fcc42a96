"""Every decoder against the reference decoder of its format, alone and behind the bit reader."""

import numpy as np
import pytest
from amaranth import ClockDomain, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from pumice.spec.formats import FORMATS, BitWriter, Step
from pumice_hdl.core.bit_reader import BitReader
from pumice_hdl.decoders import DECODERS
from pumice_hdl.layouts import STEP_LAYOUT

SEED = 3
RUN = 64
N_ROWS = 40


def encoded_rows(name, rng, density):
    """Steps of random rows and of awkward ones, and their stream as an integer of ``n_bits`` bits."""
    rows = rng.integers(-128, 128, (N_ROWS, 3 * RUN)) * (rng.random((N_ROWS, 3 * RUN)) < density)
    rows[0], rows[0, 0] = 0, 1  # first position only
    rows[1], rows[1, -1] = 0, -128  # empty windows, then the last position
    rows[2], rows[2, [15, 16, 47, 48, 79]] = 0, 7  # ends and starts of neighbouring windows
    rows[3], rows[3, [0, 31, 32, 63]] = 0, -7
    rows[4] = 0
    rows[5] = -1
    bits = BitWriter()
    for row in rows.astype(np.int8):
        FORMATS[name].encode(row, RUN, bits)
    steps = [FORMATS[name].steps(row, RUN) for row in rows.astype(np.int8)]
    data = bits.to_bytes(align=8)
    return [s for s in steps if s], data, bits.n_bits


def read_step(ctx, step):
    """A `Step` from STEP_LAYOUT."""
    value = ctx.get(step)
    return Step(value.advance + 1, value.weight)


def test_registry():
    assert list(DECODERS) == list(FORMATS)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("density", [0.02, 0.2, 0.9])
def test_decodes_rows(name, density):
    """Step by step, with idle cycles in which window and ``first`` are noise."""
    rng = np.random.default_rng(SEED)
    rows, data, n_bits = encoded_rows(name, rng, density)
    stream_bits = int.from_bytes(data, "little")
    dut = DECODERS[name]()
    got = []

    async def bench(ctx):
        position = 0
        for row in rows:
            for i in range(len(row)):
                while rng.random() < 0.3:
                    ctx.set(dut.window, int(rng.integers(1 << 24)))
                    ctx.set(dut.first, int(rng.integers(2)))
                    ctx.set(dut.take, 0)
                    await ctx.tick()
                ctx.set(dut.window, stream_bits >> position & 0xFFFFFF)
                ctx.set(dut.first, int(i == 0))
                ctx.set(dut.take, 1)
                got.append(read_step(ctx, dut.step))
                position += ctx.get(dut.n_bits)
                await ctx.tick()
            # Rows that break off leave state behind, which `first` must override.
            ctx.set(dut.window, int(rng.integers(1 << 24)))
            ctx.set(dut.first, 1)
            await ctx.tick()
        assert position == n_bits

    top = Module()
    top.domains.sync = ClockDomain()  # decoders without state have none of their own
    top.submodules.decoder = dut
    simulator = Simulator(top)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == sum(map(len, rows)) > 100
    assert got == [step for row in rows for step in row], f"seed {SEED}"


class StreamDecoder(wiring.Component):
    """A decoder behind a `BitReader`; a step goes when one is ``available`` and ``enable`` is set."""

    def __init__(self, name):
        self.name = name
        super().__init__(
            {
                "words": In(stream.Signature(64)),
                "enable": In(1),
                "first": In(1),
                "align": In(1),
                "step": Out(STEP_LAYOUT),
                "take": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.reader = reader = BitReader()
        m.submodules.decoder = decoder = DECODERS[self.name]()
        wiring.connect(m, wiring.flipped(self.words), reader.words)
        m.d.comb += [
            decoder.window.eq(reader.window),
            reader.n_bits.eq(decoder.n_bits),
            decoder.first.eq(self.first),
            self.step.eq(decoder.step),
            self.take.eq(reader.available & self.enable),
            reader.take.eq(self.take),
            decoder.take.eq(self.take),
            reader.align.eq(self.align & self.take),
        ]
        return m


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("p_enable", [1.0, 0.7])
def test_decodes_a_stream_of_words(name, p_enable):
    """Two tiles: the same stream twice, aligned at its end; one step a cycle when never held back."""
    rng = np.random.default_rng(SEED)
    rows, data, _ = encoded_rows(name, rng, 0.3)
    words = [int(w) for w in np.frombuffer(data, "<u8")]
    steps = [(step, i == 0) for row in rows for i, step in enumerate(row)]
    dut = StreamDecoder(name)
    got, n_lost = [], 0

    async def feed(ctx):
        ctx.set(dut.words.valid, 1)
        index = 0
        while True:
            ctx.set(dut.words.payload, words[index % len(words)])
            _, _, ready = await ctx.tick().sample(dut.words.ready)
            index += ready

    async def bench(ctx):
        nonlocal n_lost
        for i, (_, first) in enumerate(steps * 2):
            ctx.set(dut.first, int(first))
            ctx.set(dut.align, int((i + 1) % len(steps) == 0))
            while True:
                ctx.set(dut.enable, int(rng.random() < p_enable))
                _, _, take, step = await ctx.tick().sample(dut.take, dut.step)
                if take:
                    got.append(Step(step.advance + 1, step.weight))
                    break
                n_lost += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == [step for step, _ in steps] * 2, f"seed {SEED}"
    if p_enable == 1.0:
        assert n_lost <= 4 + 2  # start-up and one alignment
