"""The firmware's C sources, compiled for the PC, against a model of the registers."""

import ctypes
import random
from pathlib import Path

import pytest
from pumice.spec.config import TINY
from pumice.spec.descriptor import (
    BUFFER_IMAGE,
    BUFFER_LOG,
    COMMAND,
    LOG_ENTRY_BYTES,
    OP_END,
    OP_LAYER,
    OP_SKIP,
    OP_TRANSFER,
    PAGE_BYTES,
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
    LOG_BYTES,
    LOG_OFFSET,
    MMIO_BASE,
    block,
    find,
)
from pumice_sim.firmware import SOURCES, WARNINGS, zig

from tests.firmware.board import Board, command, end, image, paged, random_layer, random_list, weight_transfer

RAM_BYTES = 16384
POLL_LIMIT = 300
READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)


def address(name: str, reg: str) -> int:
    return BLOCK_BASES[name] + find(name, reg).offset


def log_entry(tag: int) -> bytes:
    """What the model of the engine logs for a layer."""
    return bytes((37 * tag + i) % 251 + 1 for i in range(LOG_ENTRY_BYTES))


class Machine(Board):
    """A board with RAM around the compiled firmware; each read lets DMA and engine progress at random.

    ``p_progress`` is the probability, per read, that the running transfer (and likewise the running layer) completes.
    """

    def __init__(self, library: ctypes.CDLL, seed: int, *, p_progress: float = 0.1):
        super().__init__()
        self.library, self.rng, self.p_progress = library, random.Random(seed), p_progress
        self.ram = bytearray(RAM_BYTES)
        self.buffers[BUFFER_LOG] = bytearray(2 * LOG_BYTES)
        self.hangs: str | None = None  # a block that never completes anything
        self.reads: list[int] = []
        self.errors: list[BaseException] = []
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

    def place(self, at: int) -> tuple[str, int]:
        """Block and offset of an address; it must be a register of that block."""
        name = {base // BLOCK_BYTES: name for name, base in BLOCK_BASES.items()}[at // BLOCK_BYTES]
        offset = at % BLOCK_BYTES
        known = {r.offset for r in block(name)}
        if name in self.descriptor:
            known |= {DESCRIPTOR_OFFSET + 4 * i for i in range(len(self.descriptor[name]))}
        assert offset in known, f"no register at {name} {offset:#x}"
        return name, offset

    def progress(self) -> None:
        """Let each block complete what it runs, or not."""
        for name, queue in self.queue.items():
            if queue and name != self.hangs and self.rng.random() < self.p_progress:
                if name == "dma":
                    self.move(TRANSFER.unpack(queue[0]))
                self.complete(name)

    def complete(self, name: str) -> None:
        """The running layer leaves its log entry."""
        if name == "engine":
            tag = self.queue["engine"][0][0] >> 16
            at = LOG_OFFSET + tag * LOG_ENTRY_BYTES % LOG_BYTES
            self.ram[at : at + LOG_ENTRY_BYTES] = log_entry(tag)
        super().complete(name)

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

    def serve(self, command: int) -> tuple[str, int]:
        """Run one command; name of its fault and the detail."""
        self.ring(command)
        self.reads.clear()
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
    """The list's commands were submitted in order, each after its counts, and everything completed.

    Transfers with soft-core RAM among them are the firmware's own, and do not count.
    """
    what = [what for what, _ in machine.events]
    events = machine.events[len(what) - what[::-1].index("dma clear") :]
    expected, running, done = iter(commands), [], {OP_LAYER: 0, OP_TRANSFER: 0}
    for what, words in events:
        op = OP_TRANSFER if what.startswith("dma") else OP_LAYER
        if what == "engine completed":
            done[OP_LAYER] += 1
        elif what == "dma completed":
            done[OP_TRANSFER] += running.pop(0)
        elif what.endswith("submit"):
            is_own = op == OP_TRANSFER and TRANSFER.unpack(words)["space"] == SPACE_CPU_RAM
            if op == OP_TRANSFER:
                running.append(not is_own)
            if not is_own:
                command_words = next(expected)
                head = COMMAND.unpack(command_words)
                assert (head["op"], command_words[COMMAND.n_words :]) == (op, list(words))
                assert done[OP_LAYER] >= head["after_layers"]
                assert done[OP_TRANSFER] >= head["after_transfers"]
    assert [words[0] & 0xFF for words in expected] == [OP_END]
    assert running == []
    assert not machine.queue["engine"]
    counts = COMMAND.unpack(commands[-1])
    assert (done[OP_LAYER], done[OP_TRANSFER]) == (counts["after_layers"], counts["after_transfers"])


@pytest.mark.parametrize("seed", range(30))
def test_random_lists(library, seed):
    machine = Machine(library, seed, p_progress=random.Random(seed).choice([0.1, 0.3, 0.9]))
    load, run = (random_list(machine.rng, machine.rng.choice([0, 1, 5, 20])) for _ in range(2))
    assert machine.load(flat(load), flat(run), 0) == ("none", 0)
    check_order(machine, load)
    for machine.log_bytes in (0, LOG_BYTES):
        assert machine.serve(COMMAND_RUN) == ("none", 0)
        check_order(machine, run)


@pytest.mark.parametrize("seed", range(6))
def test_long_lists_come_in_pages(library, seed):
    """Lists that do not fit in RAM together; each run fetches its pages again, and the log has every layer."""
    machine = Machine(library, seed, p_progress=[0.1, 0.3, 0.9][seed % 3])
    load, run = (random_list(machine.rng, n) for n in machine.rng.choice([(2, 900), (400, 400), (900, 2)]))
    assert machine.load(paged(load), paged(run), 0) == ("none", 0)
    check_order(machine, load)
    for machine.log_bytes in (0, 1, 1):
        machine.buffers[BUFFER_LOG] = bytearray(LOG_ENTRY_BYTES * 1000)
        assert machine.serve(COMMAND_RUN) == ("none", 0)
        check_order(machine, run)
        n_layers = COMMAND.unpack(run[-1])["after_layers"] if machine.log_bytes else 0
        entries = b"".join(log_entry(tag) for tag in range(n_layers))
        assert machine.buffers[BUFFER_LOG] == entries.ljust(LOG_ENTRY_BYTES * 1000, b"\0")


@pytest.mark.parametrize("n_layers", [0, 1, 64, 65, 72, 73, 136, 137, 200, 201])
def test_log(library, n_layers):
    machine = Machine(library, seed=n_layers, p_progress=0.5)
    layers = [command(OP_LAYER, random_layer(machine.rng, tag), 0, 0) for tag in range(n_layers)]
    machine.buffers[BUFFER_LOG] = bytearray(n_layers * LOG_ENTRY_BYTES)
    assert machine.load(end(), paged([*layers, end(n_layers)]), n_layers) == ("none", 0)
    for machine.log_bytes in (0, n_layers * LOG_ENTRY_BYTES):
        assert machine.serve(COMMAND_RUN) == ("none", 0)
        logged = b"".join(log_entry(tag) for tag in range(n_layers if machine.log_bytes else 0))
        assert machine.buffers[BUFFER_LOG] == logged.ljust(n_layers * LOG_ENTRY_BYTES, b"\0")


def test_idle_reads_the_mailbox_only(library):
    machine = Machine(library, seed=1)
    library.pumice_serve()
    assert machine.reads == [address("mailbox", "command")]
    assert machine.finished is None


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ({"magic": 0}, ("image", 0)),
        ({"version": 1}, ("image", 0)),
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
    assert len(machine.submits("dma")) == 1
    assert machine.serve(COMMAND_RUN) == ("not_loaded", 0)


def test_lists_that_fit_together_stay_in_ram(library):
    machine = Machine(library, seed=1)
    room = (RAM_BYTES - COMMANDS_OFFSET) // 4
    for n_load, n_fetches in ((2, 0), (3, 2)):
        assert machine.load(end() * n_load, end() * (room // 2 - 2), 0) == ("none", 0)
        assert machine.serve(COMMAND_RUN) == ("none", 0)
        assert len(machine.submits("dma")) == n_fetches


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
        assert machine.serve(COMMAND_RUN) == ("not_loaded", 0)


def test_skip_to_a_page_that_is_not_there(library):
    machine = Machine(library, seed=1)
    assert machine.load(end(), LAYER_COMMAND + command(OP_SKIP, [], 0, 0), 1) == ("none", 0)
    assert machine.serve(COMMAND_RUN) == ("command", PAGE_BYTES // 4)


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
    for machine.bad_transfer in range(4):  # the header, both lists, the load list's own
        assert machine.load(load, a_list(), 3) == (code, 0xDEAD0)
        assert machine.serve(COMMAND_RUN) == ("not_loaded", 0)
    machine.bad_transfer = None
    assert machine.load(load, a_list(), 3) == ("none", 0)
    machine.log_bytes = 96
    for machine.bad_transfer in (0, 1):  # the list's own, and that of the log
        assert machine.serve(COMMAND_RUN) == (code, 0xDEAD0)
    machine.bad_transfer = None
    assert machine.serve(COMMAND_RUN) == ("none", 0)


@pytest.mark.parametrize(
    ("hangs", "commands", "poll"),
    [
        ("engine", [LAYER_COMMAND, end(1)], "completed"),
        ("engine", [LAYER_COMMAND, LAYER_COMMAND, LAYER_COMMAND, end()], "status"),
        ("dma", [command(OP_TRANSFER, weight_transfer(random.Random(0)), 0, 0), end(0, 1)], "completed"),
        ("dma", [command(OP_TRANSFER, weight_transfer(random.Random(0)), 0, 0)] * 3 + [end()], "status"),
    ],
)
def test_polls_are_bounded(library, hangs, commands, poll):
    machine = Machine(library, seed=1)
    assert machine.load(end(), flat(commands), 1) == ("none", 0)
    machine.hangs = hangs
    where = address(hangs, poll)
    assert machine.serve(COMMAND_RUN) == ("watchdog", where)
    assert POLL_LIMIT <= machine.reads.count(where) < POLL_LIMIT + 10
    # the block is still busy, so that it cannot be cleared for the next command
    assert machine.serve(COMMAND_RUN) == ("watchdog", address(hangs, "status"))
    machine.hangs = None
    assert machine.serve(COMMAND_RUN) == ("none", 0)
