"""The log copier against the log's content, in Amaranth's simulator."""

import random

import pytest
from amaranth.sim import Simulator
from pumice.spec.descriptor import BUFFER_LOG, LOG_ENTRY_BYTES, SPACE_CPU_RAM, TRANSFER
from pumice.spec.registers import LOG_OFFSET
from pumice_hdl.system.log_copier import LOG_ENTRIES, PATIENCE, LogCopier

MAX_CYCLES = 30_000


class Bench:
    """Engine and DMA around a copier: entry ``n`` of the ring holds the number of the layer that wrote it last."""

    def __init__(self, ctx, dut, rng: random.Random):
        self.ctx, self.dut, self.rng = ctx, dut, rng
        self.ring: list[int | None] = [None] * LOG_ENTRIES
        self.buffer: dict[int, int] = {}
        self.completed = self.n_copies = 0
        self.copy: dict[str, int] | None = None
        self.taken: list[dict[str, int]] = []
        self.p_ready, self.p_copied = 0.3, 0.1
        self.since_layer = self.cycle = 0

    async def tick(self, *, layer: bool = False) -> None:
        """One cycle, in which a layer completes or not."""
        ctx, dut, rng = self.ctx, self.dut, self.rng
        self.cycle += 1
        assert self.cycle < MAX_CYCLES, "no end"
        if layer:
            self.ring[self.completed % LOG_ENTRIES] = self.completed
            self.completed += 1
            self.since_layer = 0
        self.since_layer += 1
        ctx.set(dut.completed, self.completed)
        if self.copy and rng.random() < self.p_copied:
            first = (self.copy["local"] - LOG_OFFSET) // LOG_ENTRY_BYTES
            for i in range(self.copy["n_bytes"] // LOG_ENTRY_BYTES):
                self.buffer[self.copy["offset"] // LOG_ENTRY_BYTES + i] = self.ring[first + i]
            self.copy = None
            self.n_copies += 1
        ctx.set(dut.copies_completed, self.n_copies % 2**16)
        ready = rng.random() < self.p_ready
        ctx.set(dut.transfers.ready, ready)
        if ready and ctx.get(dut.transfers.valid):
            value = ctx.get(dut.transfers.payload.as_value())
            self.copy = TRANSFER.unpack([value >> 32 * i & 0xFFFFFFFF for i in range(TRANSFER.n_words)])
            fixed = {"write": 1, "space": SPACE_CPU_RAM, "buffer": BUFFER_LOG, "n_runs": 1, "core": 0}
            assert self.copy.items() >= fixed.items()
            self.taken.append(self.copy)
        await ctx.tick()

    @property
    def room(self) -> int:
        """Layers that may be handed over."""
        return LOG_ENTRIES - (self.completed - self.ctx.get(self.dut.n_copied)) % 2**16

    async def until_idle(self) -> None:
        """Until all has been copied."""
        await self.tick()
        while not self.ctx.get(self.dut.idle):
            await self.tick()


def run(test, seed: int) -> None:
    """Run ``await test(bench)`` on a copier."""
    print(f"seed {seed}")
    dut = LogCopier()
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def process(ctx):
        ctx.set(dut.enable, 1)
        await test(Bench(ctx, dut, random.Random(seed)))

    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("n_layers", [0, 1, 63, 64, 65, 128, 129, 400])
@pytest.mark.parametrize("p_layer", [0.02, 1])
def test_every_entry_is_copied_once(n_layers, p_layer):
    """In order, before the engine writes over it; by halves as long as there is no hurry."""

    async def test(bench):
        while bench.completed < n_layers:
            await bench.tick(layer=bench.room > 0 and bench.rng.random() < p_layer)
        sizes = [copy["n_bytes"] // LOG_ENTRY_BYTES for copy in bench.taken]
        assert min(sizes, default=LOG_ENTRIES // 2) >= LOG_ENTRIES // 2 or p_layer == 1
        bench.ctx.set(bench.dut.urgent, 1)
        await bench.until_idle()
        assert bench.buffer == {i: i for i in range(n_layers)}
        assert sum(copy["n_bytes"] for copy in bench.taken) == n_layers * LOG_ENTRY_BYTES
        assert bench.ctx.get(bench.dut.n_copied) == n_layers

    run(test, n_layers)


def test_copies_stop_at_the_end_of_the_log():
    async def test(bench):
        n_layers = 3 * LOG_ENTRIES
        bench.ctx.set(bench.dut.urgent, 1)
        for _ in range(5):
            await bench.tick(layer=True)
        await bench.until_idle()
        bench.ctx.set(bench.dut.urgent, 0)
        while bench.completed < n_layers:
            await bench.tick(layer=bench.room > 0)
        bench.ctx.set(bench.dut.urgent, 1)
        await bench.until_idle()
        assert bench.buffer == {i: i for i in range(n_layers)}

    run(test, 4)


def test_nothing_leaves_without_a_buffer():
    async def test(bench):
        bench.ctx.set(bench.dut.enable, 0)
        bench.ctx.set(bench.dut.urgent, 1)
        for _ in range(300):
            await bench.tick(layer=bench.rng.random() < 0.5)
        await bench.tick()
        await bench.tick()
        assert bench.ctx.get(bench.dut.n_copied) == bench.completed > 100
        assert bench.ctx.get(bench.dut.idle)
        assert not bench.taken

    run(test, 1)


def test_other_transfers_of_the_same_layer_go_first():
    """An urgent entry is offered a few cycles after its layer's completion."""

    async def test(bench):
        bench.ctx.set(bench.dut.urgent, 1)
        bench.p_ready = 1
        for n in range(1, 4):
            await bench.tick(layer=True)
            while len(bench.taken) < n:
                await bench.tick()
            assert PATIENCE < bench.since_layer < 2 * PATIENCE
            await bench.until_idle()

    run(test, 2)


def test_clear_forgets_everywhere():
    """What was offered is withdrawn; nothing of the old layers leaves until the engine's count is zero again."""

    async def test(bench):
        for _ in range(40):
            bench.ctx.set(bench.dut.urgent, 1)
            for _ in range(bench.rng.randrange(2, 60)):
                await bench.tick(layer=bench.room > 0 and bench.rng.random() < 0.2)
            bench.ctx.set(bench.dut.clear, 1)
            await bench.tick()
            bench.ctx.set(bench.dut.clear, 0)
            while bench.copy:
                await bench.tick()
            n_taken = len(bench.taken)
            for _ in range(20):
                await bench.tick()
            assert len(bench.taken) == n_taken
            assert bench.ctx.get(bench.dut.idle)
            bench.completed = bench.n_copies = 0
            bench.buffer.clear()
            await bench.tick()
            for _ in range(3):
                await bench.tick(layer=True)
            await bench.until_idle()
            assert bench.buffer == {0: 0, 1: 1, 2: 2}

    run(test, 3)
