"""What the firmware sees: a model of the mailbox, DMA and engine registers, and images to load.

The cocotb bench of the soft core and the PC-side tests of the C sources share it; they decide when transfers and layers
complete and move the bytes.
"""

import random
from collections import deque

from pumice.spec.config import TINY
from pumice.spec.descriptor import (
    BUFFER_IMAGE,
    COMMAND,
    IMAGE_HEADER,
    IMAGE_MAGIC,
    IMAGE_VERSION,
    LAYER,
    OP_END,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    SPACE_WEIGHTS,
    TRANSFER,
)
from pumice.spec.registers import DESCRIPTOR_OFFSET, DESCRIPTORS, FAULT_CODES, block, find

HEADER_BYTES = 4 * IMAGE_HEADER.n_words
COUNTER = 1 << 16  # where completed counters wrap
INPUT_BYTES, OUTPUT_BYTES = 8, 24  # of a sample


def to_bytes(words: list[int]) -> bytes:
    """Little-endian bytes of 32-bit words."""
    return b"".join(word.to_bytes(4, "little") for word in words)


def command(op: int, payload: list[int], after_layers: int, after_transfers: int, skip: int = 0) -> list[int]:
    """Words of a command."""
    counts = {"after_layers": after_layers, "after_transfers": after_transfers}
    return COMMAND.pack(op=op, n_words=COMMAND.n_words + len(payload), skip=skip, **counts) + payload


def end(after_layers: int = 0, after_transfers: int = 0) -> list[int]:
    """Words of an END command."""
    return command(OP_END, [], after_layers, after_transfers)


def random_layer(rng: random.Random, tag: int) -> list[int]:
    """LAYER words with random content."""
    return [tag << 16, *(rng.getrandbits(32) for _ in range(LAYER.n_words - 1))]


def weight_transfer(rng: random.Random) -> list[int]:
    """TRANSFER words of a read from the image to weight memory."""
    local, n_bytes = 8 * rng.randrange(64), 8 * rng.randrange(1, 9)
    runs = {"n_runs": rng.randrange(1, 4), "local_pitch": 0, "pitch": 0}
    if runs["n_runs"] > 1:  # else the firmware leaves the registers of the pitches alone
        runs |= {"local_pitch": rng.getrandbits(32), "pitch": rng.getrandbits(32)}
    return TRANSFER.pack(
        write=0, space=SPACE_WEIGHTS, buffer=BUFFER_IMAGE, core=0, local=local, offset=0, n_bytes=n_bytes, **runs
    )


def random_list(rng: random.Random, n_commands: int) -> list[list[int]]:
    """A valid list of random layers and transfers that waits for random counts; its last command is END."""
    commands, n = [], {OP_LAYER: 0, OP_TRANSFER: 0}
    for _ in range(n_commands):
        op = rng.choice([OP_LAYER, OP_TRANSFER])
        payload = random_layer(rng, n[op]) if op == OP_LAYER else weight_transfer(rng)
        after_layers = rng.randint(0, n[OP_LAYER]) if op == OP_TRANSFER else 0
        commands.append(command(op, payload, after_layers, rng.randint(0, n[OP_TRANSFER])))
        n[op] += 1
    return [*commands, end(n[OP_LAYER], n[OP_TRANSFER])]


def paged(commands: list[list[int]]) -> list[int]:
    """Words of a list whose commands do not lie in two pages."""
    words, page = [], PAGE_BYTES // 4
    for command_words in commands:
        room = -len(words) % page
        if room and room < len(command_words):
            words += command(OP_NEXT_PAGE, [], 0, 0)
            words += [0] * (room - COMMAND.n_words)
        words += command_words
    return words


def image(load: list[int], run: list[int], n_layers: int, **header: int) -> bytes:
    """An image of a header and two command lists; ``header`` replaces fields of its header."""
    values = {
        "magic": IMAGE_MAGIC, "version": IMAGE_VERSION, "config_id": TINY.config_id, "crc": 0,
        "load_offset": HEADER_BYTES, "load_bytes": 4 * len(load), "run_offset": HEADER_BYTES + 4 * len(load),
        "run_bytes": 4 * len(run), "n_bytes": HEADER_BYTES + 4 * len(load + run), "n_layers": n_layers,
        "input_bytes": INPUT_BYTES, "output_bytes": OUTPUT_BYTES, "scratch_bytes": 0,
    }  # fmt: skip
    return to_bytes(IMAGE_HEADER.pack(**{**values, **header}) + load + run)


class Board:
    """Registers of mailbox, DMA and engine; refuses accesses that the register map does not allow.

    Attributes
    ----------
    events : list of (str, tuple)
        What the firmware and the blocks did, in order: ``"dma submit"`` with the descriptor's words,
        ``"dma completed"``, ``"dma clear"``, the same for the engine.
    finished : (int, int) or None
        Fault and detail of the last command's end.
    bad_transfer : int or None
        This transfer (counted from the command's start) gets the fault ``bad_code`` when it is submitted.
    """

    def __init__(self):
        self.buffers: dict[int, bytes] = {BUFFER_IMAGE: b""}
        self.command = self.more = self.log_bytes = self.detail = 0
        self.ready = False
        self.finished: tuple[int, int] | None = None
        self.events: list[tuple[str, tuple]] = []
        self.descriptor = {name: [0] * structure.n_words for name, structure in DESCRIPTORS.items()}
        self.queue: dict[str, deque] = {name: deque() for name in DESCRIPTORS}
        self.completed = dict.fromkeys(DESCRIPTORS, 0)
        self.fault_code = self.fault_address = 0
        self.bad_transfer: int | None = None
        self.bad_code = FAULT_CODES["bus"]

    def ring(self, command: int, more: int = 0) -> None:
        """Give the firmware a command, for ``more`` samples than one."""
        self.finished, self.command, self.more, self.events = None, command, more, []

    def submits(self, name: str) -> list[list[int]]:
        """Descriptors submitted to a block since the command began."""
        return [list(words) for what, words in self.events if what == f"{name} submit"]

    def complete(self, name: str) -> None:
        """The running transfer or layer is done."""
        self.queue[name].popleft()
        self.completed[name] = (self.completed[name] + 1) % COUNTER
        self.events.append((f"{name} completed", ()))

    def read(self, name: str, offset: int) -> int:
        """Value of a register."""
        if name == "mailbox":
            values = {
                "command": self.command | self.more << find("mailbox", "command", "more").lsb,
                "detail": self.detail, "config": TINY.config_id,
                "image_bytes": len(self.buffers[BUFFER_IMAGE]), "log_bytes": self.log_bytes,
            }  # fmt: skip
        else:
            n_queued = len(self.queue[name])
            fault = self.fault_code if name == "dma" else 0
            values = {"status": (n_queued > 1) | (n_queued > 0) << 1 | fault << 8, "completed": self.completed[name]}
            if name == "dma":
                values["fault_address"] = self.fault_address
        return {find(name, reg).offset: value for reg, value in values.items()}.get(offset, 0)

    def write(self, name: str, offset: int, value: int) -> None:
        """The firmware writes a register."""
        regs = {r.offset: r.reg for r in block(name) if r.access != "ro"}
        reg, word = regs.get(offset), (offset - DESCRIPTOR_OFFSET) // 4
        if reg == "finish":
            self.finished, self.command, self.more = (value, self.detail), 0, 0
        elif reg == "detail":
            self.detail = value
        elif reg == "ready":
            self.ready = True
        elif reg == "clear":
            assert not self.queue[name], f"{name} cleared while busy"
            self.completed[name] = 0
            if name == "dma":
                self.fault_code = 0
            self.events.append((f"{name} clear", ()))
        elif reg == "submit":
            self._submit(name)
        else:
            assert name in self.descriptor, f"write to {name} {offset:#x}"
            assert 0 <= word < len(self.descriptor[name]), f"write to {name} {offset:#x}"
            self.descriptor[name][word] = value

    def _submit(self, name: str) -> None:
        assert len(self.queue[name]) < 2, f"{name} submitted to a full queue"
        if name == "dma" and len(self.submits("dma")) == self.bad_transfer:
            self.fault_code, self.fault_address = self.bad_code, 0xDEAD0
        words = list(self.descriptor[name])
        if name == "dma" and TRANSFER.unpack(words)["n_runs"] == 1:
            words[4:] = [0, 0]  # whatever was in the registers has no meaning
        self.events.append((f"{name} submit", tuple(words)))
        if name == "engine" or not self.fault_code:
            self.queue[name].append(words)
