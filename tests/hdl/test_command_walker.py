"""The command walker against a model of what a list means, in Amaranth's simulator."""

import itertools
import random

import pytest
from amaranth.sim import Simulator
from pumice.spec import registers
from pumice.spec.descriptor import (
    BUFFER_INPUT,
    BUFFER_OUTPUT,
    COMMAND,
    OP_END,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    SKIP_BUT_FIRST,
    SKIP_BUT_LAST,
    SKIP_FIRST,
    SKIP_LAST,
    TRANSFER,
)
from pumice_hdl.system.command_walker import CommandWalker
from pumice_hdl.system.log_copier import LOG_ENTRIES

from tests.firmware.board import command, end, random_layer, random_list, weight_transfer

START = 0x3000  # RAM address of a list
OFFSETS = {BUFFER_INPUT: (0x1000, 0x40), BUFFER_OUTPUT: (0x8000, 0x18)}  # of a sample, bytes of a sample
MAX_CYCLES = 20_000


class Bench:
    """Registers, RAM, engine and DMA around a walker; each stalls at random.

    Attributes
    ----------
    ram : dict of int
        64-bit words by word address.
    taken : list of (str, list of int, int, int)
        What was handed over: ``"layers"`` or ``"transfers"``, its words, layers and transfers completed at its offer.
    """

    def __init__(self, ctx, dut, rng: random.Random):
        self.ctx, self.dut, self.rng = ctx, dut, rng
        self.ram: dict[int, int] = {}
        self.taken: list[tuple[str, list[int], int, int]] = []
        self.done = {"layers": 0, "transfers": 0}
        self.offered: tuple[int, int] | None = None
        self.p_stall = 0.4
        self.completes = True
        self.data = 0
        self.cycle = 0
        self.n_finished = 0  # pulses of ``finish``

    def store(self, commands: list[list[int]], address: int = START) -> int:
        """Put commands into RAM; their end."""
        words = list(itertools.chain(*commands))
        for i in range(0, len(words), 2):
            self.ram[address // 8 + i // 2] = words[i] | words[i + 1] << 32
        return address + 4 * len(words)

    async def tick(self) -> None:
        """One cycle of everything but the registers."""
        ctx, dut, rng = self.ctx, self.dut, self.rng
        self.cycle += 1
        ctx.set(dut.ram.ready, rng.random() >= self.p_stall)
        for name in ("layers", "transfers"):
            ctx.set(getattr(dut, name).ready, rng.random() >= self.p_stall)
            n_taken = sum(entry[0] == name for entry in self.taken)
            if self.completes and self.done[name] < n_taken and rng.random() < 0.1:
                self.done[name] += 1
            ctx.set(getattr(dut, f"{name}_completed"), self.done[name] % 2**16)
        ctx.set(dut.ram.read_data, self.data)
        granted = ctx.get(dut.ram.read) and ctx.get(dut.ram.ready)
        self.data = self.ram[ctx.get(dut.ram.address)] if granted else rng.getrandbits(64)
        for name in ("layers", "transfers"):
            port = getattr(dut, name)
            if ctx.get(port.valid):
                self.offered = self.offered or (self.done["layers"], self.done["transfers"])
                if ctx.get(port.ready):
                    value = ctx.get(port.payload.as_value())
                    words = [value >> 32 * i & 0xFFFFFFFF for i in range(len(port.payload.as_value()) // 32)]
                    self.taken.append((name, words, *self.offered))
                    self.offered = None
        self.n_finished += ctx.get(dut.finish)
        await ctx.tick()

    async def write(self, reg: str, value: int = 1) -> None:
        """Write a register."""
        bus = self.dut.registers
        self.ctx.set(bus.address, registers.find("walker", reg).offset)
        self.ctx.set(bus.write_data, value)
        self.ctx.set(bus.write, 1)
        await self.tick()
        self.ctx.set(bus.write, 0)

    async def read(self, reg: str) -> int:
        """Read a register."""
        self.ctx.set(self.dut.registers.address, registers.find("walker", reg).offset)
        await self.tick()
        return self.ctx.get(self.dut.registers.read_data)

    async def wait(self) -> int:
        """Until the walker is idle; its status."""
        for _ in range(MAX_CYCLES):
            status = await self.read("status")
            if not status & 1:
                return status
        raise AssertionError("the walker goes on and on")

    async def set_up(self, skip: int = SKIP_LAST) -> None:
        """Registers that do not start anything."""
        await self.write("skip", skip)
        self.ctx.set(self.dut.log_idle, 1)
        for buffer, name in ((BUFFER_INPUT, "input"), (BUFFER_OUTPUT, "output")):
            await self.write(f"{name}_offset", OFFSETS[buffer][0])
            await self.write(f"{name}_bytes", OFFSETS[buffer][1])


ENDED, MALFORMED = 2, 4


def run(test, seed: int) -> None:
    """Run ``await test(bench)`` on a walker."""
    print(f"seed {seed}")
    dut = CommandWalker()
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def process(ctx):
        await test(Bench(ctx, dut, random.Random(seed)))

    simulator.add_testbench(process)
    simulator.run()


def moved(words: list[int], skip: int) -> list[int]:
    """TRANSFER words as the DMA must get them."""
    fields = TRANSFER.unpack(words)
    offset, n_bytes = OFFSETS.get(fields["buffer"], (0, 0))
    by = offset - n_bytes * bool(skip & SKIP_FIRST) + n_bytes * (not skip & SKIP_FIRST and bool(skip & SKIP_LAST))
    return TRANSFER.pack(**fields | {"offset": (fields["offset"] + by) % 2**32})


def expected(commands: list[list[int]], walk: int, before: tuple[int, int]) -> list[tuple[str, list[int], int, int]]:
    """What a walk hands over, each with the layers and transfers that must have completed."""
    layers, transfers = before
    result = []
    for words in commands:
        head, payload = COMMAND.unpack(words), words[COMMAND.n_words :]
        if head["op"] == OP_LAYER:
            result.append(("layers", payload, 0, transfers + head["after_transfers"]))
        elif head["op"] == OP_TRANSFER and head["skip"] & walk:
            transfers -= 1
        elif head["op"] == OP_TRANSFER:
            due = (layers + head["after_layers"], transfers + head["after_transfers"])
            result.append(("transfers", moved(payload, head["skip"]), *due))
    return result


def check(taken: list, wanted: list) -> None:
    """The same in the same order, none before its counts."""
    assert [entry[:2] for entry in taken] == [entry[:2] for entry in wanted]
    for (_, _, layers, transfers), (_, _, layers_due, transfers_due) in zip(taken, wanted, strict=True):
        assert layers >= layers_due
        assert transfers >= transfers_due


def random_sample_list(rng: random.Random, n_commands: int) -> list[list[int]]:
    """A random list some of whose transfers are skipped in some walks and reach the sample's buffers."""
    commands = random_list(rng, n_commands)
    for words in commands:
        if COMMAND.unpack(words)["op"] != OP_TRANSFER:
            continue
        skip = rng.choice([0, 0, SKIP_FIRST, SKIP_BUT_FIRST, SKIP_LAST, SKIP_BUT_LAST])
        head = COMMAND.unpack(words) | {"skip": skip, "after_transfers": 0}
        place = {"buffer": rng.randrange(4), "offset": 8 * rng.randrange(64)}
        fields = TRANSFER.unpack(words[COMMAND.n_words :]) | place
        words[:] = COMMAND.pack(**head) + TRANSFER.pack(**fields)
    return commands


@pytest.mark.parametrize("seed", range(3))
def test_walks_of_several_samples(seed):
    """Walks follow each other without waiting; counts are each walk's own, skipped transfers count as completed."""

    async def test(bench):
        rng = bench.rng
        commands = random_sample_list(rng, 25)
        stop = bench.store(commands)
        wanted = []
        for walk in (SKIP_FIRST | SKIP_BUT_LAST, SKIP_BUT_FIRST | SKIP_BUT_LAST, SKIP_BUT_FIRST | SKIP_LAST):
            wanted += expected(commands, walk, tuple(sum(e[0] == n for e in wanted) for n in ("layers", "transfers")))
            await bench.set_up(walk)
            await bench.write("end", stop)
            await bench.write("begin", START)
            assert await bench.wait() == ENDED
        check(bench.taken, wanted)

    run(test, seed)


def test_goes_on_with_the_next_page():
    """Stops at ``end`` without END and goes on elsewhere, with the counts of the same walk."""

    async def test(bench):
        commands = random_list(bench.rng, 20)
        await bench.set_up()
        other = START + 0x800
        await bench.write("end", bench.store(commands[:9]))
        await bench.write("begin", START)
        assert await bench.wait() == 0
        await bench.write("end", bench.store(commands[9:], other))
        await bench.write("resume", other)
        assert await bench.wait() == ENDED
        assert await bench.read("at") == other + 4 * sum(map(len, commands[9:-1]))
        check(bench.taken, expected(commands, SKIP_LAST, (0, 0)))

    run(test, 3)


def test_next_page():
    """NEXT_PAGE leads to the next multiple of PAGE_BYTES; what lies between is not looked at."""

    async def test(bench):
        commands = random_list(bench.rng, 12)
        behind = (START + PAGE_BYTES) // PAGE_BYTES * PAGE_BYTES
        await bench.set_up()
        bench.store([*commands[:5], command(OP_NEXT_PAGE, [], 0, 0)])
        await bench.write("end", bench.store(commands[5:], behind))
        await bench.write("begin", START)
        assert await bench.wait() == ENDED
        check(bench.taken, expected(commands, SKIP_LAST, (0, 0)))

    run(test, 8)


def test_layers_wait_for_room_in_the_log():
    """No layer is handed over that would write over an entry, each as soon as there is room."""

    async def test(bench):
        layers = [command(OP_LAYER, random_layer(bench.rng, i), 0, 0) for i in range(LOG_ENTRIES + 3)]
        await bench.set_up()
        bench.p_stall = 0
        await bench.write("end", bench.store([*layers, end()]))
        await bench.write("begin", START)
        for n_copied in (0, 1, 3):
            bench.ctx.set(bench.dut.n_copied, n_copied)
            for _ in range(2000):
                await bench.tick()
            assert len(bench.taken) == LOG_ENTRIES + n_copied
        assert await bench.wait() == ENDED

    run(test, 4)


BEGUN = 8


async def ring(bench) -> None:
    """The doorbell of a run: the command is served from the next cycle on, in which counts are zeroed if it begins."""
    bench.ctx.set(bench.dut.doorbell, 1)
    await bench.tick()
    bench.ctx.set(bench.dut.doorbell, 0)
    bench.ctx.set(bench.dut.serving, 1)
    if bench.ctx.get(bench.dut.begun):
        assert bench.ctx.get(bench.dut.clears)
        bench.done = {"layers": 0, "transfers": 0}
        bench.taken.clear()
        await bench.tick()


async def finishes(bench, n_cycles: int) -> int:
    """How often ``finish`` pulses in so many cycles."""
    before = bench.n_finished
    for _ in range(n_cycles):
        await bench.tick()
    return bench.n_finished - before


def test_armed_walk():
    """Begins at every doorbell with counts of zero, and finishes when the log has been copied."""

    async def test(bench):
        commands = random_list(bench.rng, 12)
        await bench.set_up()
        await bench.write("end", bench.store(commands))
        for _ in range(2):  # the second one counts from more than zero
            await bench.write("begin", START)
            assert await bench.wait() == ENDED
        bench.taken.clear()
        await ring(bench)
        assert not await finishes(bench, 300) + len(bench.taken), "not armed"
        bench.ctx.set(bench.dut.serving, 0)
        await bench.write("arm", START)
        for _ in range(3):
            assert not await finishes(bench, 300) + len(bench.taken), "no doorbell"
            bench.ctx.set(bench.dut.log_idle, 0)
            await ring(bench)
            assert await bench.read("status") & BEGUN
            assert not await finishes(bench, 3000), "entries are missing"
            assert await bench.read("status") == BEGUN | 1
            bench.ctx.set(bench.dut.log_idle, 1)
            assert await finishes(bench, 300) == 1
            assert await bench.read("status") == BEGUN | ENDED
            check(bench.taken, expected(commands, SKIP_LAST, (0, 0)))
            bench.ctx.set(bench.dut.serving, 0)
            bench.taken.clear()

    run(test, 9)


@pytest.mark.parametrize("by", ["clear", "begin"])
def test_disarmed(by):
    """The doorbell then does nothing; a walk by ``begin`` finishes nothing."""

    async def test(bench):
        commands = random_list(bench.rng, 5)
        await bench.set_up()
        await bench.write("end", bench.store(commands))
        await bench.write("arm", START)
        await bench.write(by, {"clear": 1, "begin": START}[by])
        if by == "begin":
            assert await bench.wait() == ENDED
            check(bench.taken, expected(commands, SKIP_LAST, (0, 0)))
            bench.taken.clear()
        await ring(bench)
        assert not await finishes(bench, 500)
        assert not bench.taken
        assert not await bench.read("status") & (BEGUN | 1)

    run(test, 10)


@pytest.mark.parametrize("n_cycles", [0, 1, 5])
def test_a_command_given_up_is_not_finished(n_cycles):
    """The watchdog has ended the command: the walk goes on, and neither its end nor its beginning is the next one's."""

    async def test(bench):
        commands = random_list(bench.rng, 12)
        await bench.set_up()
        await bench.write("end", bench.store(commands))
        await bench.write("arm", START)
        await ring(bench)
        for _ in range(30):
            await bench.tick()
        bench.ctx.set(bench.dut.serving, 0)
        for _ in range(n_cycles):
            await bench.tick()
        await ring(bench)
        assert not await finishes(bench, 3000)
        assert await bench.read("status") == ENDED
        check(bench.taken, expected(commands, SKIP_LAST, (0, 0)))

    run(test, 11)


def test_log_is_urgent_behind_the_last_layer():
    """From the handing over of as many layers as there are, or at END if that was wrong."""

    async def test(bench):
        layers = [command(OP_LAYER, random_layer(bench.rng, i), 0, 0) for i in range(4)]
        transfer = command(OP_TRANSFER, weight_transfer(bench.rng), 4, 0)
        for n_layers in (4, 9):
            await bench.set_up()
            await bench.write("end", bench.store([*layers, transfer, end(4, 1)]))
            await bench.write("log_layers", n_layers)
            bench.completes = False
            bench.ctx.set(bench.dut.log_idle, 0)
            await bench.write("begin", START)
            for _ in range(500):
                assert bench.ctx.get(bench.dut.log_urgent) == (len(bench.taken) == n_layers)
                await bench.tick()
            assert len(bench.taken) == 4
            bench.completes = True
            for _ in range(500):
                await bench.tick()
            assert bench.ctx.get(bench.dut.log_urgent)
            bench.ctx.set(bench.dut.log_idle, 1)
            assert await bench.wait() == ENDED
            await bench.write("clear")
            bench.taken.clear()
            bench.done = {"layers": 0, "transfers": 0}

    run(test, 12)


MALFORMED_COMMANDS = {
    "unknown operation": lambda rng: COMMAND.pack(op=9, n_words=2, skip=0, after_layers=0, after_transfers=0),
    "wrong length": lambda rng: COMMAND.pack(op=OP_END, n_words=3, skip=0, after_layers=0, after_transfers=0),
    "leaves the list": lambda rng: command(OP_LAYER, random_layer(rng, 0), 0, 0)[:-2],
}


@pytest.mark.parametrize("name", MALFORMED_COMMANDS)
def test_stops_at_a_malformed_command(name):
    """Says where; what lies before it has been handed over."""

    async def test(bench):
        good = random_list(bench.rng, 6)[:-1]
        await bench.set_up()
        await bench.write("end", bench.store([*good, MALFORMED_COMMANDS[name](bench.rng)]))
        await bench.write("begin", START)
        assert await bench.wait() == MALFORMED
        for _ in range(200):  # what is queued is still handed over
            await bench.tick()
        assert await bench.read("at") == START + 4 * sum(map(len, good))
        check(bench.taken, expected(good, 0, (0, 0)))

    run(test, 5)


def test_clear_stops_everywhere():
    """After ``clear`` at any moment nothing is offered, and a new walk counts from zero."""

    async def test(bench):
        for _ in range(60):
            commands = random_list(bench.rng, 4)
            await bench.set_up()
            await bench.write("end", bench.store(commands))
            await bench.write("begin", START)
            for _ in range(bench.rng.randrange(60)):
                await bench.tick()
            await bench.write("clear")
            bench.taken.clear()
            bench.offered = None
            bench.done = {"layers": 0, "transfers": 0}
            for _ in range(5):
                await bench.tick()
            assert not bench.taken
            await bench.write("begin", START)
            assert await bench.wait() == ENDED
            check(bench.taken, expected(commands, SKIP_LAST, (0, 0)))
            for _ in range(300):
                await bench.tick()
            await bench.write("clear")
            bench.taken.clear()
            bench.done = {"layers": 0, "transfers": 0}

    run(test, 6)


def test_cycles_of_a_command():
    """Without stalls a command takes 5 cycles and one for each word of its payload."""

    async def test(bench):
        bench.p_stall = 0
        n = 20
        layers = [command(OP_LAYER, random_layer(bench.rng, i), 0, 0) for i in range(n)]
        await bench.set_up()
        await bench.write("end", bench.store([*layers, end()]))
        await bench.write("begin", START)
        cycles = []
        for _ in range(MAX_CYCLES):
            await bench.tick()
            cycles += [bench.cycle] * (len(bench.taken) - len(cycles))
            if len(cycles) == n:
                break
        payload_words = (len(layers[0]) - COMMAND.n_words) // 2
        assert [b - a for a, b in itertools.pairwise(cycles)] == [7 + payload_words] * (n - 1)

    run(test, 7)
