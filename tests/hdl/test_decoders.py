"""Every index decoder with every value decoder, behind bit readers, against the steps that were written."""

from dataclasses import dataclass

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from pumice.spec.coding import CodingRequest, write_row
from pumice.spec.formats import FORMATS, MAX_INDEX_BITS, BitWriter
from pumice.spec.formats.nm import NM
from pumice.spec.values import MAX_VALUE_BITS, VALUE_CODINGS, ValueCoding, count_values
from pumice.spec.values.codebook import share_weights
from pumice_hdl.core.bit_reader import BitReader
from pumice_hdl.core.step_decoder import StepDecoder
from pumice_hdl.layouts import LAYER_LAYOUT, STEP_LAYOUT, TABLE_WORD_LAYOUT

SEED = 3
N_ROWS = 10
FIXED = [
    *FORMATS, "csr:6", *(f"rice:{k}" for k in range(7)),
    "nm:1:1", "nm:1:2", "nm:2:4", "nm:3:5", "nm:7:8", "nm:16:16", "nm:1:16",
    "block:1", "block:16", "block:32", "block:1:16", "block:4:4", "block:3:5",
]  # fmt: skip


class StreamDecoder(wiring.Component):
    """A `StepDecoder` behind its `BitReader`s; a step goes when one is available and ``enable`` is set."""

    def __init__(self):
        super().__init__(
            {
                "layer": In(LAYER_LAYOUT),
                "indices": In(stream.Signature(64)),
                "values": In(stream.Signature(64)),
                "has_indices": In(1),
                "table": In(TABLE_WORD_LAYOUT),
                "table_valid": In(1),
                "restart": In(1),
                "enable": In(1),
                "first": In(1),
                "align": In(1),
                "step": Out(STEP_LAYOUT),
                "weight": Out(8),
                "take": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.indices = indices = BitReader(MAX_INDEX_BITS)
        m.submodules.values = values = BitReader(MAX_VALUE_BITS)
        m.submodules.decoder = decoder = StepDecoder()
        wiring.connect(m, wiring.flipped(self.indices), indices.words)
        wiring.connect(m, wiring.flipped(self.values), values.words)
        m.d.comb += [
            decoder.layer.eq(self.layer),
            decoder.window.eq(indices.window),
            decoder.value_window.eq(values.window),
            indices.n_bits.eq(decoder.index_bits),
            values.n_bits.eq(decoder.value_bits),
            decoder.first.eq(self.first),
            decoder.table.eq(self.table),
            decoder.table_valid.eq(self.table_valid),
            self.step.eq(decoder.step),
            self.weight.eq(decoder.weight),
            self.take.eq((indices.available | ~self.has_indices) & values.available & self.enable),
            indices.take.eq(self.take),
            values.take.eq(self.take & decoder.has_value),
            decoder.take.eq(self.take),
            indices.align.eq(self.align & self.take),
            values.align.eq(self.align & self.take),
            indices.restart.eq(self.restart),
            values.restart.eq(self.restart),
        ]
        return m


@dataclass
class EncodedStream:
    """A layer: descriptor fields, value coding, words of both streams, steps (advance, index, weight, first)."""

    layer: dict[str, int]
    coding: ValueCoding
    words: dict[str, list[int]]
    steps: list[tuple[int, int, int, bool]]


def encode_random(text, values, rng, run, density) -> EncodedStream | None:
    """Random rows and awkward ones; nothing if the format does not suit them."""
    fixed = CodingRequest.parse(text).fixed
    rows = rng.integers(-128, 128, (N_ROWS, 3 * run)) * (rng.random((N_ROWS, 3 * run)) < density)
    rows[0], rows[0, 0] = 0, 1  # first position only
    rows[1], rows[1, -1] = 0, -128  # empty windows, then the last position
    ends = [i for i in (15, 16, 47, 48, 79) if i < 3 * run]
    rows[2], rows[2, ends] = 0, 7  # of neighbouring windows
    rows[3] = -1
    rows[4:8] = 0  # a group of empty rows between others
    if isinstance(fixed, NM):
        for row in rows:
            for group in np.split(row, range(fixed.m, 3 * run, fixed.m)):
                group[np.flatnonzero(group)[fixed.n :]] = 0
    rows = share_weights(rows.astype(np.int8), 15) if values == "codebook" else rows.astype(np.int8)
    fmt = next((f for f in ([fixed] if fixed else FORMATS[text].candidates(rows, run)) if f.supports(rows, run)), None)
    if fmt is None:
        return None
    row_steps = [s for i in range(0, N_ROWS, fmt.group) for s in fmt.steps(rows[i : i + fmt.group], run)]
    coding = VALUE_CODINGS[values].fit(count_values(np.concatenate([s.weight[s.has_value] for s in row_steps])))
    writers, steps = {"indices": BitWriter(), "values": BitWriter()}, []
    for s in row_steps:
        write_row(s, coding, *writers.values())
        for i, (advance, weight, index) in enumerate(zip(s.advance, s.weight, s.index, strict=True)):
            steps.append((int(advance), int(index), int(weight), i == 0))
    words = {name: np.frombuffer(bits.to_bytes(), "<u8").tolist() for name, bits in writers.items()}
    layer = {"format": fmt.code, "parameter": fmt.parameter, "values": coding.number, "n_channels": run}
    return EncodedStream(layer, coding, words, steps)


def check(cases: list[EncodedStream], rng, p_enable: float) -> None:
    """Run all cases in one simulation, each for two tiles: its stream twice, aligned at the end."""
    dut = StreamDecoder()
    words, place = {"indices": [], "values": []}, {"indices": 0, "values": 0}
    taken, weights, n_lost = [], [], 0

    def feed(name):
        async def bench(ctx):
            port = getattr(dut, name)
            while True:
                ctx.set(port.valid, bool(words[name]))
                if words[name]:
                    ctx.set(port.payload, words[name][place[name] % len(words[name])])
                _, _, ready = await ctx.tick().sample(port.ready)
                place[name] += ready

        return bench

    async def watch(ctx):
        pending = [False] * StepDecoder.latency
        while True:
            _, _, step, weight, take = await ctx.tick().sample(dut.step, dut.weight, dut.take)
            if pending[-1]:
                taken.append((step.absolute, step.index if step.absolute else step.advance + 1))
            pending.append(bool(take))
            weight -= 256 * (weight > 127)
            if pending.pop(0):
                weights.append(weight)
            else:
                assert weight == 0

    async def bench(ctx):
        nonlocal n_lost
        for case in cases:
            ctx.set(dut.enable, 0)
            await ctx.tick().repeat(StepDecoder.latency)
            ctx.set(dut.layer, case.layer)
            for i, word in enumerate(np.frombuffer(case.coding.table, "<u8")):
                ctx.set(dut.table, {"index": i, "word": int(word)})
                ctx.set(dut.table_valid, 1)
                await ctx.tick()
            ctx.set(dut.table_valid, 0)
            ctx.set(dut.has_indices, bool(case.words["indices"]))
            words.update(indices=[], values=[])
            ctx.set(dut.restart, 1)
            await ctx.tick().repeat(2)
            place.update(indices=0, values=0)
            words.update(case.words)
            ctx.set(dut.restart, 0)
            for _ in range(3):
                await ctx.tick()
            for i, (_, _, _, first) in enumerate(case.steps * 2):
                ctx.set(dut.first, int(first))
                ctx.set(dut.align, int((i + 1) % len(case.steps) == 0))
                while True:
                    ctx.set(dut.enable, int(rng.random() < p_enable))
                    _, _, take = await ctx.tick().sample(dut.take)
                    if take:
                        break
                    n_lost += 1
        ctx.set(dut.enable, 0)
        await ctx.tick().repeat(StepDecoder.latency + 1)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for name in words:
        simulator.add_testbench(feed(name), background=True)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(bench)
    simulator.run()
    steps = [(case.layer["format"] == FORMATS["csr"].code, s) for case in cases for s in case.steps * 2]
    assert taken == [(is_csr, s[1] if is_csr else s[0]) for is_csr, s in steps], f"seed {SEED}"
    assert weights == [s[2] for _, s in steps], f"seed {SEED}"
    assert len(weights) > 50
    if p_enable == 1.0:
        assert n_lost <= 6 * len(cases)  # start-up and one alignment


@pytest.mark.parametrize("text", FIXED)
def test_decodes_streams(text):
    """Layer after layer with other shapes and codings; held back at random, or one step a cycle."""
    rng = np.random.default_rng(SEED)
    shapes = [(1.0, values, 20, 0.3) for values in VALUE_CODINGS]
    shapes += [(1.0, "huffman", 70, 0.02), (0.7, "huffman", 5, 0.3), (0.7, "codebook", 33, 0.1)]
    for p_enable in (1.0, 0.7):
        cases = [encode_random(text, values, rng, run, density) for p, values, run, density in shapes if p == p_enable]
        check([case for case in cases if case], rng, p_enable)


def test_layers_leave_nothing_behind():
    """A layer of every format in turn, in one simulation."""
    rng = np.random.default_rng(SEED)
    texts = rng.permutation(FIXED).tolist()
    cases = [encode_random(text, rng.choice(list(VALUE_CODINGS)), rng, 33, 0.1) for text in texts]
    assert all(cases)
    check(cases, rng, 0.9)
