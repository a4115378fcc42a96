"""StepQueue: steps come in order, with their weights, whatever stalls; a start drops those of before."""

from itertools import count

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice_hdl.core.step_decoder import StepDecoder
from pumice_hdl.core.step_queue import N_STEPS, StepQueue

SEED = 6
N_CYCLES = 3000


class Layer:
    """A layer's row lengths, offered and decoded round after round, and what is on its way.

    Step ``i`` since the start is ``advance`` ``i % 64``, its weight ``weights[i]``.
    """

    def __init__(self, rng: np.random.Generator):
        lengths = rng.choice([0, 1, 2, 3, 9, 40], int(rng.integers(5)))
        self.lengths = rng.permutation([*lengths, 2]).tolist()
        self.weights = rng.integers(-128, 128, N_CYCLES)
        self.steps = self.all_steps()
        self.offered = self.taken = self.popped = self.aligns = 0
        self.decoded = [None] * StepDecoder.latency  # numbers of the steps taken in the last cycles
        self.issued = [None] * StepDecoder.latency

    def all_steps(self):
        """Whether it is its row's first, and the number of its round, of each step."""
        for i in count():
            for length in self.lengths:
                yield from ((j == 0, i) for j in range(length))


@pytest.mark.parametrize(("p_bits", "p_pop"), [(1, 1), (0.5, 0.5), (0.9, 0.2), (0.3, 1)])
def test_steps_come_in_order(p_bits, p_pop):
    rng = np.random.default_rng(SEED)
    dut = StepQueue()
    n_issued = deepest = 0

    async def bench(ctx):
        nonlocal n_issued, deepest
        layer = Layer(rng)
        for cycle in range(N_CYCLES):
            starts = cycle % 150 == 0
            decoded, issued = layer.decoded, layer.issued
            last = layer.offered % len(layer.lengths) == len(layer.lengths) - 1
            length = layer.lengths[layer.offered % len(layer.lengths)]
            offers = bool(rng.random() < 0.7)
            ctx.set(dut.start, starts)
            ctx.set(dut.lengths.payload, {"n_steps": length, "last": last})
            ctx.set(dut.lengths.valid, offers)
            ctx.set(dut.available, bool(rng.random() < p_bits))
            ctx.set(dut.decoded_step, {"advance": (decoded[0] or 0) % 64, "absolute": 0, "index": 0})
            ctx.set(dut.decoded_weight, 77 if decoded[-1] is None else int(layer.weights[decoded[-1]]))
            valid = ctx.get(dut.valid)
            assert valid == (layer.popped < layer.taken), f"seed {SEED}, cycle {cycle}"
            pops = bool(valid and rng.random() < p_pop)
            ctx.set(dut.pop, pops)
            takes = ctx.get(dut.take)
            if issued[0] is not None:
                assert ctx.get(dut.step.advance) == issued[0] % 64, f"seed {SEED}, cycle {cycle}"
            expected = 0 if issued[-1] is None else int(layer.weights[issued[-1]])
            assert ctx.get(dut.weight) == expected, f"seed {SEED}, cycle {cycle}"
            if takes:
                got = ctx.get(dut.first), layer.aligns
                assert got == next(layer.steps), f"seed {SEED}, cycle {cycle}: first, rounds before"
            layer.aligns += ctx.get(dut.align)
            layer.offered += offers and ctx.get(dut.lengths.ready)
            layer.decoded = [layer.taken if takes else None, *decoded[:-1]]
            layer.issued = [layer.popped if pops else None, *issued[:-1]]
            layer.taken += takes
            layer.popped += pops
            n_issued += pops
            deepest = max(deepest, layer.taken - layer.popped)
            if starts:
                layer = Layer(rng)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert deepest <= N_STEPS // 2 + 1
    assert deepest == N_STEPS // 2 + 1 or p_pop > p_bits / 2
    assert n_issued > 0.6 * N_CYCLES * min(p_bits, p_pop)
