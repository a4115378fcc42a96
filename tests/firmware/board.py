"""What the firmware sees: a model of the mailbox, DMA, engine and walker registers, and images to load.

The cocotb bench of the soft core and the PC-side tests of the C sources share it; they decide when transfers and layers
complete and move the bytes.
"""

import random
from collections import deque

from pumice.spec.config import TINY
from pumice.spec.descriptor import (
    BUFFER_IMAGE,
    BUFFER_INPUT,
    BUFFER_OUTPUT,
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
    SKIP_FIRST,
    SKIP_LAST,
    SPACE_WEIGHTS,
    TRANSFER,
)
from pumice.spec.registers import COMMAND_RUN, DESCRIPTOR_OFFSET, DESCRIPTORS, FAULT_CODES, block, find

HEADER_BYTES = 4 * IMAGE_HEADER.n_words
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


def random_layer(rng: random.Random, number: int) -> list[int]:
    """LAYER words with random content."""
    return [number << 16, *(rng.getrandbits(32) for _ in range(LAYER.n_words - 1))]


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
    """Registers of mailbox, DMA, engine and walker; refuses accesses that the register map does not allow.

    The walker itself is not here.

    Attributes
    ----------
    events : list of (str, tuple)
        What the firmware, the walker and the blocks did, in order: ``"dma submit"`` with the descriptor's words,
        ``"dma completed"``, ``"dma clear"``, the same for the engine; ``"own submit"``, ``"own completed"`` for
        transfers of the firmware's own; ``"walker begin"`` and the like with what was written.
    finished : (int, int) or None
        Fault and detail of the last command's end.
    bad_transfer : int or None
        This transfer (counted from the command's start, own ones too) gets the fault ``bad_code`` when it is submitted.
    walker : dict of int
        Registers of the walker as last written, and ``status`` and ``at``.
    """

    def __init__(self):
        self.buffers: dict[int, bytes] = {BUFFER_IMAGE: b""}
        self.command = self.more = self.detail = 0
        self.ready = False
        self.finished: tuple[int, int] | None = None
        self.events: list[tuple[str, tuple]] = []
        self.descriptor = [0] * DESCRIPTORS["dma"].n_words
        self.waits: tuple[str, list[int]] | None = None  # the firmware's own transfer, not yet in the queue
        self.queue: dict[str, deque[tuple[str, list[int]]]] = {"dma": deque(), "engine": deque()}
        self.completed = {"dma": 0, "own": 0, "engine": 0}
        self.walker = {r.reg: 0 for r in block("walker")}
        self.fault_code = self.fault_address = 0
        self.bad_transfer: int | None = None
        self.bad_code = FAULT_CODES["bus"]

    def ring(self, command: int, more: int = 0) -> None:
        """Give the firmware a command, for ``more`` samples than one."""
        self.finished, self.command, self.more, self.events = None, command, more, []

    def finish(self, fault: int) -> None:
        """The command is over; nothing may end it twice."""
        assert self.command, "finish without a command"
        self.finished, self.command, self.more = (fault, self.detail if fault else 0), 0, 0

    def submits(self, name: str) -> list[list[int]]:
        """Descriptors submitted to a block since the command began."""
        return [list(words) for what, words in self.events if what == f"{name} submit"]

    def complete(self, name: str) -> None:
        """The running transfer or layer is done."""
        what, _ = self.queue[name].popleft()
        if name == "dma" and self.waits:
            self.queue[name].append(self.waits)
            self.waits = None
        self.completed[what] += 1
        self.events.append((f"{what} completed", ()))

    def submit(self, what: str, words: list[int]) -> None:
        """Hand a layer (``"engine"``) or a transfer (``"dma"``, ``"own"``) over to its block, which must have room."""
        queue = self.queue["dma" if what == "own" else what]
        if what == "own":
            assert self.waits is None, "a transfer by submit is lost"
        else:
            assert len(queue) < 2, f"{what} submitted to a full queue"
        self.events.append((f"{what} submit", tuple(words)))
        if what == "engine":
            queue.append((what, words))
            return
        if len(self.submits("dma") + self.submits("own")) - 1 == self.bad_transfer:
            self.fault_code, self.fault_address = self.bad_code, 0xDEAD0
        if self.fault_code:
            return
        if len(queue) < 2:
            queue.append((what, words))
        else:
            self.waits = (what, words)

    def read(self, name: str, offset: int) -> int:
        """Value of a register."""
        if name == "mailbox":
            values = {
                "command": self.command | self.more << find("mailbox", "command", "more").lsb,
                "detail": self.detail, "config": TINY.config_id,
                "image_bytes": len(self.buffers[BUFFER_IMAGE]),
            }  # fmt: skip
        elif name == "walker":
            values = self.walker
        else:
            n_queued = len(self.queue[name])
            busy = (n_queued > 0) << find(name, "status", "busy").lsb
            values = {"status": busy, "completed": self.completed[name]}
            if name == "dma":
                values["status"] |= (self.waits is not None) | self.fault_code << 8
                values |= {"fault_address": self.fault_address, "own_completed": self.completed["own"]}
        return {find(name, reg).offset: value for reg, value in values.items()}.get(offset, 0)

    def write(self, name: str, offset: int, value: int) -> None:
        """The firmware writes a register."""
        regs = {r.offset: r.reg for r in block(name) if r.access != "ro"}
        reg, word = regs.get(offset), (offset - DESCRIPTOR_OFFSET) // 4
        if name == "walker":
            assert reg, f"write to walker {offset:#x}"
            self.walker[reg] = value
            self.events.append((f"walker {reg}", (value,)))
        elif reg == "finish":
            self.finish(value)
        elif reg == "detail":
            self.detail = value
        elif reg == "ready":
            self.ready = True
        elif reg == "clear":
            assert not self.queue[name], f"{name} cleared while busy"
            self.completed[name] = 0
            if name == "dma":
                self.fault_code = self.completed["own"] = 0
            self.events.append((f"{name} clear", ()))
        elif reg == "submit":
            self.submit("own", list(self.descriptor))
        else:
            assert name == "dma", f"write to {name} {offset:#x}"
            assert 0 <= word < len(self.descriptor), f"write to {name} {offset:#x}"
            self.descriptor[word] = value


class WalkerModel:
    """What `pumice_hdl.system.command_walker.CommandWalker` does, a command at a time, on a `Board` with ``ram``.

    The log is not here: the firmware has nothing to do with it.
    """

    def __init__(self, board):
        self.board = board
        self.handed = {"engine": 0, "dma": 0}  # since clear
        self.base = dict(self.handed)
        self.walks = self.begun = False
        self.armed_at: int | None = None

    def rings(self) -> None:
        """The doorbell of the board's command; an armed walk of a run of one sample begins."""
        if (self.board.command, self.board.more) != (COMMAND_RUN, 0) or self.armed_at is None:
            return
        assert not any(self.board.queue.values()), "armed while something is busy"
        self.board.completed = {"dma": 0, "own": 0, "engine": 0}
        self.board.fault_code = 0
        self.handed = {"engine": 0, "dma": 0}
        self.base = dict(self.handed)
        self.board.walker["at"], self.walks, self.begun = self.armed_at, True, True
        self.set_status(1)

    def set_status(self, status: int) -> None:
        """Status bits besides ``begun``."""
        self.board.walker["status"] = status | self.begun << find("walker", "status", "begun").lsb

    def hears(self, reg: str, value: int) -> None:
        """The firmware has written a register."""
        registers = self.board.walker
        if reg == "clear":
            self.handed, self.walks, self.begun, self.armed_at = {"engine": 0, "dma": 0}, False, False, None
            self.set_status(registers["status"] & 6)
            return
        elif reg == "arm":
            assert not self.walks, "walker armed while busy"
            assert value % 8 == registers["end"] % 8 == 0
            self.armed_at, self.begun = value, False
            self.set_status(registers["status"] & 6)
            return
        elif reg in ("begin", "resume"):
            assert not self.walks, f"walker {reg} while busy"
            assert value % 8 == registers["end"] % 8 == 0
            registers["at"], self.walks = value, True
            if reg == "begin":
                self.base, self.begun, self.armed_at = dict(self.handed), False, None
        else:
            return
        self.set_status(int(self.walks))

    def stop(self, status: int) -> None:
        """Stop with status bits."""
        self.walks = False
        self.set_status(status)

    def step(self) -> None:
        """Carry the command out, if it need not wait."""
        board, registers = self.board, self.board.walker
        if not self.walks:
            return
        at, end = registers["at"], registers["end"]
        if at >= end:
            return self.stop(0)
        words = [int.from_bytes(board.ram[i : i + 4], "little") for i in range(at, end, 4)]
        head = COMMAND.unpack(words)
        payload = {OP_END: 0, OP_NEXT_PAGE: 0, OP_LAYER: LAYER.n_words, OP_TRANSFER: TRANSFER.n_words}.get(head["op"])
        if payload is None or head["n_words"] != COMMAND.n_words + payload or len(words) < head["n_words"]:
            return self.stop(4)
        words = words[COMMAND.n_words : head["n_words"]]
        what = "engine" if head["op"] == OP_LAYER else "dma"
        if head["op"] == OP_NEXT_PAGE:
            registers["at"] = (at | PAGE_BYTES - 1) + 1
        elif head["op"] == OP_TRANSFER and head["skip"] & registers["skip"]:
            self.base["dma"] -= 1
            registers["at"] += 4 * head["n_words"]
        elif head["op"] == OP_END:
            if not registers["skip"] & SKIP_LAST or self.may_go(head, is_layer=False):
                self.stop(2)
                if self.begun:
                    board.finish(0)
        elif (
            self.may_go(head, is_layer=what == "engine")
            and len(board.queue[what]) < 2
            and not (what == "dma" and (board.fault_code or board.waits))
        ):
            self.handed[what] += 1
            registers["at"] += 4 * head["n_words"]
            board.submit(what, words if what == "engine" else self.moved(words, head["skip"]))

    def may_go(self, head: dict[str, int], *, is_layer: bool) -> bool:
        """Whether a command's counts are reached."""
        done, base = self.board.completed, self.base
        if done["dma"] < base["dma"] + head["after_transfers"]:
            return False
        if is_layer:
            return True
        return done["engine"] >= base["engine"] + head["after_layers"]

    def moved(self, words: list[int], skip: int) -> list[int]:
        """A transfer of the sample's part of its buffer."""
        fields = TRANSFER.unpack(words)
        name = {BUFFER_INPUT: "input", BUFFER_OUTPUT: "output"}.get(fields["buffer"])
        if name is None:
            return words
        n_bytes = self.board.walker[f"{name}_bytes"]
        by = -n_bytes if skip & SKIP_FIRST else n_bytes if skip & SKIP_LAST else 0
        offset = fields["offset"] + self.board.walker[f"{name}_offset"] + by
        return TRANSFER.pack(**fields | {"offset": offset})
