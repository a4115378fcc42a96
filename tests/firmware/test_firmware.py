"""The firmware's C sources, compiled for the PC, against a model of the registers."""

import ctypes
import random
from pathlib import Path

import pytest
from pumice.spec.config import TINY
from pumice.spec.descriptor import (
    BUFFER_IMAGE,
    BUFFER_INPUT,
    BUFFER_OUTPUT,
    COMMAND,
    IMAGE_VERSION,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    SKIP_BUT_FIRST,
    SKIP_BUT_LAST,
    SKIP_FIRST,
    SKIP_LAST,
    SPACE_ACTIVATIONS,
    SPACE_CPU_RAM,
    TRANSFER,
)
from pumice.spec.registers import (
    BLOCK_BASES,
    BLOCK_BYTES,
    COMMAND_LOAD,
    COMMAND_RUN,
    COMMANDS_OFFSET,
    DESCRIPTOR_OFFSET,
    FAULT_CODES,
    MMIO_BASE,
    block,
    find,
)
from pumice_sim.firmware import SOURCES, WARNINGS, zig

from tests.firmware.board import (
    INPUT_BYTES,
    OUTPUT_BYTES,
    Board,
    WalkerModel,
    command,
    end,
    image,
    paged,
    random_layer,
    random_list,
    weight_transfer,
)

RAM_BYTES = 20480
POLL_LIMIT = 300
MAX_STEPS = 10_000
READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)


def address(name: str, reg: str) -> int:
    return BLOCK_BASES[name] + find(name, reg).offset


class Machine(Board):
    """A board with RAM around the compiled firmware; each read lets DMA and engine progress at random.

    ``p_progress`` is the probability, per read, that the running transfer (and likewise the running layer) completes.
    """

    def __init__(self, library: ctypes.CDLL, seed: int, *, p_progress: float = 0.1):
        super().__init__()
        self.library, self.rng = library, random.Random(seed)
        self.p_progress = self.p_dma = p_progress
        self.ram = bytearray(RAM_BYTES)
        self.hangs: str | None = None  # a block that never completes anything
        self.reads: list[int] = []
        self.errors: list[BaseException] = []
        self.counts: list[tuple[str, int, int]] = []  # at each submit: block, layers and transfers completed
        self.walker_model = WalkerModel(self)
        self.before_walker = lambda reg: None  # what happens just before the firmware writes one of its registers
        self.callbacks = READ(self.guard(self.on_read)), WRITE(self.guard(self.on_write))
        library.pumice_fake(*self.callbacks)
        library.pumice_forget()

    def guard(self, callback):
        """A C caller cannot pass an exception on: keep it for `serve`."""

        def guarded(*arguments):
            try:
                return callback(*arguments)
            except Exception as error:
                self.errors.append(error)
                return 0

        return guarded

    def on_read(self, at: int) -> int:
        """Answer `pumice_read`: the lists in RAM, or a register that may be read."""
        self.reads.append(at)
        self.progress()
        if at < MMIO_BASE:
            assert COMMANDS_OFFSET <= at < RAM_BYTES, f"RAM read at {at:#x}"
            return int.from_bytes(self.ram[at : at + 4], "little")
        name, offset = self.place(at)
        readable = {r.offset for r in block(name) if r.access in ("ro", "rw")}
        assert offset in readable, f"{name} {offset:#x} is not readable"
        return self.read(name, offset)

    def on_write(self, at: int, value: int) -> None:
        """Answer `pumice_write`: registers only."""
        name, offset = self.place(at)
        self.write(name, offset, value)
        if name == "walker":
            reg = {r.offset: r.reg for r in block(name)}[offset]
            self.before_walker(reg)
            self.walker_model.hears(reg, value)

    def submit(self, what: str, words: list[int]) -> None:
        """Keep what has completed at a submit."""
        self.counts.append((what, self.completed["engine"], self.completed["dma"]))
        super().submit(what, words)

    def place(self, at: int) -> tuple[str, int]:
        """Block and offset of an address; it must be a register of that block."""
        name = {base // BLOCK_BYTES: name for name, base in BLOCK_BASES.items()}[at // BLOCK_BYTES]
        offset = at % BLOCK_BYTES
        known = {r.offset for r in block(name)}
        if name == "dma":
            known |= {DESCRIPTOR_OFFSET + 4 * i for i in range(len(self.descriptor))}
        assert offset in known, f"no register at {name} {offset:#x}"
        return name, offset

    def progress(self) -> None:
        """Let the walker hand something over, and each block complete what it runs, or not."""
        if self.rng.random() < 0.5:
            self.walker_model.step()
        for name, queue in self.queue.items():
            p_progress = self.p_dma if name == "dma" else self.p_progress
            if queue and name != self.hangs and self.rng.random() < p_progress:
                if name == "dma":
                    self.move(TRANSFER.unpack(queue[0][1]))
                self.complete(name)

    def until_finished(self) -> None:
        """Let walker and blocks go on until the command is over, without the firmware."""
        for _ in range(MAX_STEPS):
            if self.finished:
                return
            self.progress()
        raise AssertionError("the command has no end")

    def move(self, t: dict[str, int]) -> None:
        """Move the bytes of a transfer from or to RAM."""
        assert t["local"] % 8 == t["offset"] % 8 == t["n_bytes"] % 8 == 0 < t["n_bytes"]
        if t["space"] != SPACE_CPU_RAM:
            return
        inside, outside = slice(t["local"], t["local"] + t["n_bytes"]), slice(t["offset"], t["offset"] + t["n_bytes"])
        if t["write"]:
            self.buffers[t["buffer"]][outside] = self.ram[inside]
        else:
            assert inside.start >= COMMANDS_OFFSET
            assert inside.stop <= RAM_BYTES
            self.ram[inside] = self.buffers[t["buffer"]][outside]

    def serve(self, command: int, more: int = 0) -> tuple[str, int]:
        """Run one command; name of its fault and the detail."""
        self.ring(command, more)
        self.reads.clear()
        self.counts.clear()
        self.walker_model.rings()
        for _ in range(self.rng.choice([0, 0, 50])):  # the firmware may be late
            self.progress()
        self.library.pumice_serve()
        assert self.errors == []
        assert self.finished is not None
        assert self.command == 0
        fault, detail = self.finished
        return {code: name for name, code in FAULT_CODES.items()}[fault], detail

    def load(self, *arguments, **header) -> tuple[str, int]:
        """Load an image (see `image`)."""
        self.buffers[BUFFER_IMAGE] = image(*arguments, **header)
        return self.serve(COMMAND_LOAD)


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> ctypes.CDLL:
    """The firmware as a shared library; undefined behaviour traps."""
    path = tmp_path_factory.mktemp("firmware") / "firmware.so"
    defines = ["-DPUMICE_FAKE_MMIO", f"-DPUMICE_RAM_BYTES={RAM_BYTES}u", f"-DPUMICE_POLL_LIMIT={POLL_LIMIT}u"]
    flags = ["-std=c11", "-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined", "-shared", "-fPIC", *WARNINGS]
    sources = [*sorted(SOURCES.glob("*.c")), Path(__file__).parent / "fake_mmio.c"]
    zig("cc", *flags, *defines, "-nostdlib", f"-I{SOURCES}", "-o", path, *sources)
    return ctypes.CDLL(str(path))


def flat(commands: list[list[int]]) -> list[int]:
    return [word for words in commands for word in words]


def a_list(n_layers: int = 3) -> list[int]:
    rng = random.Random(0)
    layers = [command(OP_LAYER, random_layer(rng, tag), 0, 1) for tag in range(n_layers)]
    return flat([command(OP_TRANSFER, weight_transfer(rng), 0, 0), *layers, end(n_layers, 1)])


def check_order(machine: Machine, commands: list[list[int]]) -> None:
    """The layers and transfers were handed over in order, each after its counts; all is done."""
    names = {OP_LAYER: "engine", OP_TRANSFER: "dma"}
    commands = [words for words in commands if COMMAND.unpack(words)["op"] in names]
    heads = [COMMAND.unpack(words) for words in commands]
    expected = [
        (f"{names[head['op']]} submit", words[COMMAND.n_words :]) for head, words in zip(heads, commands, strict=True)
    ]
    submits = [(what, list(words)) for what, words in machine.events if what in ("engine submit", "dma submit")]
    assert submits == expected
    counts = [entry for entry in machine.counts if entry[0] != "own"]
    for head, (name, n_layers, n_transfers) in zip(heads, counts, strict=True):
        assert name == names[head["op"]]
        assert n_layers >= head["after_layers"]
        assert n_transfers >= head["after_transfers"]
    assert not machine.queue["engine"]
    assert not machine.queue["dma"]
    for name in ("engine", "dma", "own"):
        what = [what for what, _ in machine.events]
        assert what.count(f"{name} completed") == what.count(f"{name} submit")


@pytest.mark.parametrize("seed", range(30))
def test_random_lists(library, seed):
    machine = Machine(library, seed, p_progress=random.Random(seed).choice([0.1, 0.3, 0.9]))
    load, run = (random_list(machine.rng, machine.rng.choice([0, 1, 5, 20])) for _ in range(2))
    n_layers = sum(COMMAND.unpack(words)["op"] == OP_LAYER for words in run)
    assert machine.load(flat(load), flat(run), n_layers) == ("none", 0)
    check_order(machine, load)
    for _ in range(2):
        assert machine.serve(COMMAND_RUN) == ("none", 0)
        check_order(machine, run)


def io_transfer(buffer: int, skip: int, after_layers: int, sample: int = 0) -> list[int]:
    write, n_bytes = (1, OUTPUT_BYTES) if buffer == BUFFER_OUTPUT else (0, INPUT_BYTES)
    fields = {"write": write, "space": SPACE_ACTIVATIONS, "buffer": buffer, "core": 0, "n_bytes": n_bytes}
    runs = {"n_runs": 1, "local_pitch": 0, "pitch": 0}
    words = TRANSFER.pack(**fields, **runs, local=8 * buffer, offset=sample * n_bytes)
    return command(OP_TRANSFER, words, after_layers, 0, skip)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 7])
@pytest.mark.parametrize("p_progress", [0.05, 0.6])
def test_samples(library, n_samples, p_progress):
    """Input of the next sample and output of the last one among the layers; the samples' walks leave no gap."""
    machine = Machine(library, n_samples, p_progress=p_progress)
    layers = [random_layer(machine.rng, tag) for tag in range(4)]
    weights = weight_transfer(machine.rng)
    run = [
        io_transfer(BUFFER_INPUT, SKIP_BUT_FIRST, 0),
        command(OP_LAYER, layers[0], 0, 1),
        io_transfer(BUFFER_OUTPUT, SKIP_FIRST, 0),
        command(OP_LAYER, layers[1], 0, 2),
        command(OP_TRANSFER, weights, 1, 0),
        command(OP_LAYER, layers[2], 0, 3),
        io_transfer(BUFFER_INPUT, SKIP_LAST, 2),
        command(OP_LAYER, layers[3], 0, 4),
        io_transfer(BUFFER_OUTPUT, SKIP_BUT_LAST, 4),
        end(4, 5),
    ]
    assert machine.load(end(), flat(run), 4) == ("none", 0)
    assert machine.serve(COMMAND_RUN, n_samples - 1) == ("none", 0)

    def put(block: str, words: list[int], n_layers: int, n_transfers: int) -> None:
        expected.append((block, words, n_layers, n_transfers))

    expected, moved = [], 1  # block, words, counts that must have been reached
    put("dma", io_transfer(BUFFER_INPUT, 0, 0, 0)[COMMAND.n_words :], 0, 0)
    for k in range(n_samples):
        put("engine", layers[0], 0, moved)
        if k:
            put("dma", io_transfer(BUFFER_OUTPUT, 0, 0, k - 1)[COMMAND.n_words :], 4 * k, 0)
            moved += 1
        put("engine", layers[1], 0, moved)
        put("dma", weights, 4 * k + 1, 0)
        moved += 1
        put("engine", layers[2], 0, moved)
        if k < n_samples - 1:
            put("dma", io_transfer(BUFFER_INPUT, 0, 0, k + 1)[COMMAND.n_words :], 4 * k + 2, 0)
            moved += 1
        put("engine", layers[3], 0, moved)
    put("dma", io_transfer(BUFFER_OUTPUT, 0, 0, n_samples - 1)[COMMAND.n_words :], 4 * n_samples, 0)
    submits = [(what.split()[0], list(words)) for what, words in machine.events if what.endswith("submit")]
    assert submits == [entry[:2] for entry in expected]
    for (what, *counts), (_, _, *needed) in zip(machine.counts, expected, strict=True):
        assert counts[0] >= needed[0], what
        assert counts[1] >= needed[1], what
    if (n_samples, p_progress) == (7, 0.05):  # a sample's first layer does not wait for the sample before
        first_layers = [i for i, entry in enumerate(expected) if entry[1] == layers[0]]
        assert any(machine.counts[i][1] < 4 * k for k, i in enumerate(first_layers))


def test_log_layers(library):
    """The walker learns how many layers there are up to the end of each sample."""
    machine = Machine(library, seed=1)
    assert machine.load(end(), a_list(), 3) == ("none", 0)
    assert machine.walker["log_layers"] == 3
    assert machine.serve(COMMAND_RUN, 2) == ("none", 0)
    assert [values[0] for what, values in machine.events if what == "walker log_layers"] == [6, 9, 3]


@pytest.mark.parametrize("early", [False, True])
def test_a_walk_that_the_doorbell_begins(library, early):
    """It ends its command by itself, also before the firmware looks; the next one begins in the same way."""
    machine = Machine(library, seed=1)
    assert machine.load(end(), a_list(), 3) == ("none", 0)
    for _ in range(3):
        assert machine.walker_model.armed_at == COMMANDS_OFFSET
        machine.ring(COMMAND_RUN)
        machine.walker_model.rings()
        if early:
            machine.until_finished()
        machine.library.pumice_serve()
        assert machine.errors == []
        assert machine.finished == (0, 0)
        assert len(machine.submits("engine")) == 3
        assert "walker begin" not in [what for what, _ in machine.events]


def test_an_end_that_comes_as_the_firmware_gives_up(library):
    """The fault does not hit the command behind it."""
    machine = Machine(library, seed=1)
    assert machine.load(end(), a_list(), 3) == ("none", 0)
    machine.hangs = "engine"

    def before_clear(reg: str) -> None:
        if reg == "clear" and machine.hangs:
            machine.hangs = None
            machine.until_finished()
            machine.ring(COMMAND_LOAD)

    machine.before_walker = before_clear
    machine.ring(COMMAND_RUN)
    machine.walker_model.rings()
    machine.library.pumice_serve()
    assert machine.errors == []
    assert (machine.hangs, machine.finished, machine.command) == (None, None, COMMAND_LOAD)
    machine.library.pumice_serve()
    assert machine.finished == (0, 0)
    assert machine.serve(COMMAND_RUN) == ("none", 0)


@pytest.mark.parametrize("p_progress", [0.05, 0.9])
@pytest.mark.parametrize("n_commands", [60, 200, 500])
def test_pages(library, n_commands, p_progress):
    """Lists that do not fit in RAM come page by page, again for every sample."""
    machine = Machine(library, n_commands, p_progress=p_progress)
    commands = random_list(machine.rng, n_commands)
    words = paged(commands)
    n_layers = sum(COMMAND.unpack(words)["op"] == OP_LAYER for words in commands)
    assert machine.load(end(), words, n_layers) == ("none", 0)
    for n_samples in (1, 2):
        assert machine.serve(COMMAND_RUN, n_samples - 1) == ("none", 0)
        if n_samples == 1:
            check_order(machine, commands)
        assert len(machine.submits("engine")) == n_layers * n_samples
        fits = len(words) * 4 <= RAM_BYTES - COMMANDS_OFFSET - PAGE_BYTES
        n_pages = 0 if fits else -(-4 * len(words) // PAGE_BYTES)
        assert len(machine.submits("own")) == n_pages * n_samples


def test_idle_reads_the_mailbox_only(library):
    machine = Machine(library, seed=1)
    library.pumice_serve()
    assert machine.reads == [address("mailbox", "command")]
    assert machine.finished is None


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ({"magic": 0}, ("image", 0)),
        ({"version": IMAGE_VERSION + 1}, ("image", 0)),
        ({"n_bytes": 10000}, ("image", 0)),
        ({"config_id": TINY.config_id ^ 1}, ("config", TINY.config_id ^ 1)),
        ({"run_offset": 68}, ("image", 68)),
        ({"run_offset": 8000}, ("image", 8000)),
        ({"run_offset": 0xFFFFFFF8}, ("image", 0xFFFFFFF8)),
        ({"run_bytes": 0xFFFFFFF8}, ("image", 64 + 4 * len(a_list()))),
        ({"run_bytes": 12}, ("image", 64 + 4 * len(a_list()))),
        ({"load_bytes": 0}, ("image", 64)),
        ({"load_offset": 8000}, ("image", 8000)),
    ],
    ids=str,
)
def test_refused_headers(library, header, fault):
    machine = Machine(library, seed=1)
    assert machine.load(a_list(), a_list(), 3) == ("none", 0)
    assert machine.load(a_list(), a_list(), 3, **header) == fault
    assert len(machine.submits("own")) == 1
    assert machine.serve(COMMAND_RUN) == ("not_loaded", 0)


def test_run_needs_an_image(library):
    assert Machine(library, seed=1).serve(COMMAND_RUN) == ("not_loaded", 0)


def test_unknown_command(library):
    assert Machine(library, seed=1).serve(3) == ("command", 0)


LAYER_COMMAND = command(OP_LAYER, random_layer(random.Random(0), 0), 0, 0)


@pytest.mark.parametrize(
    ("tail", "detail"),
    [
        ([4 | 2 << 8, 0], 0),  # unknown operation
        ([OP_LAYER | 15 << 8, *LAYER_COMMAND[1:15], 0], 0),  # wrong length
        ([OP_TRANSFER | 16 << 8, *LAYER_COMMAND[1:]], 0),
        ([0 | 3 << 8, 0, 0, 0], 0),
        (LAYER_COMMAND[:12], 0),  # leaves the list
        (LAYER_COMMAND, 16),  # no END
        (command(OP_TRANSFER, weight_transfer(random.Random(0)), 0, 0)[:4], 0),
    ],
)
def test_malformed_lists(library, tail, detail):
    machine = Machine(library, seed=1)
    first = command(OP_TRANSFER, weight_transfer(machine.rng), 0, 0) + LAYER_COMMAND
    for head in ([], first):
        fault = ("command", len(head) + detail)
        assert machine.load(end(), head + tail, 1) == ("none", 0)
        assert machine.serve(COMMAND_RUN) == fault
        assert machine.load(head + tail, end(), 1) == fault
        assert not machine.walker["status"] & 1
        assert machine.serve(COMMAND_RUN) == ("not_loaded", 0)


def test_next_page_is_not_there(library):
    machine = Machine(library, seed=1)
    assert machine.load(end(), LAYER_COMMAND + command(OP_NEXT_PAGE, [], 0, 0), 1) == ("none", 0)
    assert machine.serve(COMMAND_RUN) == ("command", len(LAYER_COMMAND) + COMMAND.n_words)


def test_command_in_two_pages_is_refused(library):
    """In a list that comes in pages; a list that stays in RAM may have it."""
    machine = Machine(library, seed=1)
    transfer = command(OP_TRANSFER, weight_transfer(machine.rng), 0, 0)
    first = transfer + LAYER_COMMAND * (PAGE_BYTES // 4 // len(LAYER_COMMAND))
    n_layers = len(first[len(transfer) :]) // len(LAYER_COMMAND)
    assert machine.load(end(), first + end(n_layers, 1), n_layers) == ("none", 0)
    assert machine.serve(COMMAND_RUN) == ("none", 0)
    assert machine.load(end(), first + end(n_layers, 1) + [0] * RAM_BYTES, n_layers) == ("none", 0)
    assert machine.serve(COMMAND_RUN) == ("command", len(first) - len(LAYER_COMMAND))


@pytest.mark.parametrize("code", ["bus", "bounds"])
def test_dma_faults(library, code):
    """A fault of any transfer ends the command; the next command works."""
    machine = Machine(library, seed=1)
    machine.bad_code = FAULT_CODES[code]
    load = a_list()
    for machine.bad_transfer in range(4):  # the header, both lists, the load list's
        assert machine.load(load, a_list(), 3) == (code, 0xDEAD0)
        assert machine.serve(COMMAND_RUN) == ("not_loaded", 0)
    machine.bad_transfer = None
    assert machine.load(load, a_list(), 3) == ("none", 0)
    machine.bad_transfer = 0
    assert machine.serve(COMMAND_RUN) == (code, 0xDEAD0)
    machine.bad_transfer = None
    assert machine.serve(COMMAND_RUN) == ("none", 0)


@pytest.mark.parametrize(
    ("hangs", "commands"),
    [
        ("engine", [LAYER_COMMAND, end(1)]),
        ("engine", [LAYER_COMMAND, LAYER_COMMAND, LAYER_COMMAND, end()]),
        ("dma", [command(OP_TRANSFER, weight_transfer(random.Random(0)), 0, 0), end(0, 1)]),
        ("dma", [command(OP_TRANSFER, weight_transfer(random.Random(0)), 0, 0)] * 3 + [end()]),
    ],
)
def test_polls_are_bounded(library, hangs, commands):
    machine = Machine(library, seed=1)
    assert machine.load(end(), flat(commands), 1) == ("none", 0)
    machine.hangs = hangs
    where = address("walker", "status")
    assert machine.serve(COMMAND_RUN) == ("watchdog", where)
    assert POLL_LIMIT <= machine.reads.count(address("dma", "completed")) < 2 * POLL_LIMIT + 10
    # the block is still busy, so that it cannot be cleared for the next command
    assert machine.serve(COMMAND_RUN) == ("watchdog", address(hangs, "status"))
    machine.hangs = None
    machine.library.pumice_serve()
    for _ in range(1000):
        machine.progress()
    assert machine.serve(COMMAND_RUN) == ("none", 0)
