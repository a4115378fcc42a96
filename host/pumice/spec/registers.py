"""Registers of the system, each stated once.

Blocks: ``host`` is the AXI4-Lite slave that the host sees; ``mailbox``, ``dma``, ``engine`` and ``walker`` are seen by
the soft core. Access: ``ro``, ``rw``, ``w1p`` (writing 1 gives a pulse; reads 0), ``wo`` (each write is an event that carries
its value; reads 0). A ``w1p`` or ``wo`` field never shares a register with an ``rw`` one.
"""

from dataclasses import dataclass

from .descriptor import BUFFERS, TRANSFER

MAGIC = 0x494D5550  # "PUMI", little-endian
VERSION_MAJOR, VERSION_MINOR = 3, 0

COMMAND_NONE, COMMAND_LOAD, COMMAND_RUN = 0, 1, 2
STATE_BOOT, STATE_IDLE, STATE_BUSY, STATE_FAULT = 0, 1, 2, 3

FAULTS = {
    0: ("none", "No fault."),
    1: ("watchdog", "The soft core or the engine made no progress within watchdog.cycles."),
    2: ("bus", "The memory answered a transfer with an error."),
    3: ("bounds", "A transfer would have left its buffer."),
    4: ("image", "The image has a wrong magic number, version or length."),
    5: ("config", "The image was built for another engine configuration."),
    6: ("command", "A command list is malformed."),
    7: ("not_loaded", "Run without a loaded image."),
    8: ("trap", "The firmware trapped; fault_detail holds the program counter."),
}
FAULT_CODES = {name: code for code, (name, _) in FAULTS.items()}

# Soft-core address map: RAM from 0, registers above MMIO_BASE.
MMIO_BASE = 0x8000_0000
BLOCK_BYTES = 0x100
BLOCK_BASES = {name: MMIO_BASE + i * BLOCK_BYTES for i, name in enumerate(("mailbox", "dma", "engine", "walker"))}

# Soft-core RAM: firmware first, then the layer log, then command lists, or two pages of one, to the end of the RAM.
FIRMWARE_BYTES = 8192
TRAP_ADDRESS = 0x10  # in the firmware: where the processor continues after a trap
LOG_OFFSET = FIRMWARE_BYTES
LOG_BYTES = 4096  # 128 entries of LOG_ENTRY_BYTES; tags wrap, and full halves go to the log buffer
COMMANDS_OFFSET = LOG_OFFSET + LOG_BYTES


@dataclass(frozen=True)
class Register:
    """A field of a register: ``bits`` bits from ``lsb`` of the 32-bit register ``reg`` at ``offset`` in ``block``."""

    block: str
    reg: str
    offset: int
    name: str
    lsb: int
    bits: int
    access: str
    doc: str


def _buffer_registers() -> tuple[Register, ...]:
    registers = []
    for i, buffer in enumerate(BUFFERS):
        base = 0x40 + 0x10 * i
        registers += [
            Register(
                "host",
                f"{buffer}_base_low",
                base,
                "address",
                0,
                32,
                "rw",
                f"Bus address of the {buffer} buffer, bits 31..0; a multiple of 8.",
            ),
            Register(
                "host",
                f"{buffer}_base_high",
                base + 4,
                "address",
                0,
                8,
                "rw",
                f"Bus address of the {buffer} buffer, bits 39..32.",
            ),
            Register(
                "host",
                f"{buffer}_bytes",
                base + 8,
                "n",
                0,
                32,
                "rw",
                f"Length of the {buffer} buffer in bytes; transfers stay below it.",
            ),
        ]
    return tuple(registers)


REGISTERS = (
    Register("host", "magic", 0x00, "value", 0, 32, "ro", 'MAGIC, "PUMI".'),
    Register("host", "version", 0x04, "minor", 0, 16, "ro", "Register map, minor version."),
    Register("host", "version", 0x04, "major", 16, 16, "ro", "Register map, major version."),
    Register("host", "config", 0x08, "id", 0, 32, "ro", "`EngineConfig.config_id`."),
    Register("host", "shape", 0x0C, "n_cores", 0, 8, "ro", "Cores."),
    Register("host", "shape", 0x0C, "n_lanes", 8, 8, "ro", "Lanes of a core."),
    Register(
        "host",
        "doorbell",
        0x10,
        "command",
        0,
        8,
        "wo",
        "1 load, 2 run; accepted in state idle or fault, else ignored. Clears fault and interrupt.",
    ),
    Register("host", "doorbell", 0x10, "more", 8, 24, "wo", "Samples of a run behind the first one."),
    Register("host", "status", 0x14, "state", 0, 2, "ro", "0 boot, 1 idle, 2 busy, 3 fault."),
    Register("host", "interrupt", 0x18, "pending", 0, 1, "ro", "A command has finished or failed."),
    Register("host", "interrupt_clear", 0x1C, "clear", 0, 1, "w1p", "Clears interrupt.pending."),
    Register(
        "host", "interrupt_enable", 0x20, "enable", 0, 1, "rw", "1: the interrupt line follows interrupt.pending."
    ),
    Register("host", "fault", 0x24, "code", 0, 8, "ro", "0 none; see FAULTS."),
    Register("host", "fault", 0x24, "layer", 16, 16, "ro", "Layers completed when it happened."),
    Register(
        "host",
        "fault_detail",
        0x28,
        "value",
        0,
        32,
        "ro",
        "Depends on the code: a bus address, a word offset, a program counter.",
    ),
    Register(
        "host",
        "progress",
        0x2C,
        "layers",
        0,
        16,
        "ro",
        "Layers completed by the running or last command, modulo 2**16.",
    ),
    Register(
        "host",
        "progress",
        0x2C,
        "transfers",
        16,
        16,
        "ro",
        "Transfers completed by the running or last command, modulo 2**16.",
    ),
    Register(
        "host",
        "cycles",
        0x30,
        "n",
        0,
        32,
        "ro",
        "Clock cycles from the doorbell to the interrupt of the running or last command.",
    ),
    Register("host", "read_bytes", 0x34, "n", 0, 32, "ro", "Bytes read from memory by the running or last command."),
    Register("host", "write_bytes", 0x38, "n", 0, 32, "ro", "Bytes written to memory by the running or last command."),
    Register("host", "watchdog", 0x3C, "cycles", 0, 32, "rw", "Cycles without progress that raise a fault; 0: off."),
    *_buffer_registers(),
    Register(
        "host",
        "reset",
        0xF0,
        "hold",
        0,
        1,
        "rw",
        "1 holds soft core, engine and DMA in reset, state boot; clears fault, interrupt, cycles; rw registers keep.",
    ),
    Register("mailbox", "command", 0x00, "value", 0, 8, "ro", "Command of the last doorbell; 0 once finished."),
    Register("mailbox", "command", 0x00, "more", 8, 24, "ro", "Of the last doorbell."),
    Register(
        "mailbox",
        "finish",
        0x04,
        "fault",
        0,
        8,
        "wo",
        "Writing ends the command: 0 success (state idle), else the fault's code (state fault); raises the interrupt.",
    ),
    Register("mailbox", "detail", 0x08, "value", 0, 32, "rw", "fault_detail of the host's block; write before finish."),
    Register("mailbox", "ready", 0x0C, "ready", 0, 1, "w1p", "The firmware has started: state boot becomes idle."),
    Register("mailbox", "config", 0x10, "id", 0, 32, "ro", "`EngineConfig.config_id`."),
    Register("mailbox", "image_bytes", 0x14, "n", 0, 32, "ro", "The host's image_bytes register."),
    Register(
        "dma",
        "submit",
        0x00,
        "go",
        0,
        1,
        "w1p",
        "Queues the transfer in the descriptor registers; ignored while one waits.",
    ),
    Register("dma", "status", 0x04, "waits", 0, 1, "ro", "A transfer by ``submit`` waits for the queue."),
    Register("dma", "status", 0x04, "busy", 1, 1, "ro", "A transfer runs or waits."),
    Register(
        "dma",
        "status",
        0x04,
        "fault",
        8,
        8,
        "ro",
        "0, or the code of the first fault (bus, bounds) since clear; the DMA then drops its transfers.",
    ),
    Register(
        "dma",
        "completed",
        0x08,
        "n",
        0,
        32,
        "ro",
        "Transfers of the walker completed since clear; a read counts when its data is in place, a write when the memory"
        " has answered.",
    ),
    Register("dma", "clear", 0x0C, "clear", 0, 1, "w1p", "Zeroes fault, completed ones and the byte counters."),
    Register("dma", "own_completed", 0x14, "n", 0, 32, "ro", "Transfers by ``submit`` completed since clear."),
    Register("dma", "fault_address", 0x10, "value", 0, 32, "ro", "Bus address (low 32 bits) of the first fault."),
    Register("engine", "status", 0x04, "busy", 1, 1, "ro", "A layer runs or waits."),
    Register(
        "engine",
        "completed",
        0x08,
        "n",
        0,
        32,
        "ro",
        "Layers completed since clear, their results and log entries in place.",
    ),
    Register("engine", "clear", 0x0C, "clear", 0, 1, "w1p", "Zeroes completed."),
    Register(
        "walker",
        "begin",
        0x00,
        "address",
        0,
        32,
        "wo",
        "Starts a walk at this RAM address, a multiple of 8; counts are those of this walk. Ignored while busy.",
    ),
    Register(
        "walker",
        "resume",
        0x04,
        "address",
        0,
        32,
        "wo",
        "Goes on with the walk at this RAM address. Ignored while busy.",
    ),
    Register("walker", "clear", 0x08, "clear", 0, 1, "w1p", "Stops at once, gives up what is offered, zeroes counts."),
    Register("walker", "status", 0x0C, "busy", 0, 1, "ro", "Walks."),
    Register("walker", "status", 0x0C, "ended", 1, 1, "ro", "Stopped at an END."),
    Register("walker", "status", 0x0C, "malformed", 2, 1, "ro", "Stopped at a malformed command."),
    Register("walker", "status", 0x0C, "begun", 3, 1, "ro", "A walk of ``arm`` has begun."),
    Register("walker", "at", 0x10, "address", 0, 32, "ro", "RAM address of the command."),
    Register("walker", "end", 0x14, "address", 0, 32, "rw", "RAM address where commands end, a multiple of 8."),
    Register(
        "walker",
        "log_layers",
        0x18,
        "n",
        0,
        16,
        "rw",
        "Layers since clear, modulo 2**16; once so many are handed over, log entries leave as they come.",
    ),
    Register("walker", "skip", 0x1C, "walks", 0, 4, "rw", "SKIP_ bits of the walk."),
    Register("walker", "input_offset", 0x20, "n", 0, 32, "rw", "Of the sample's part of the input buffer."),
    Register("walker", "output_offset", 0x24, "n", 0, 32, "rw", "Of the sample's part of the output buffer."),
    Register("walker", "input_bytes", 0x28, "n", 0, 32, "rw", "Of a sample."),
    Register("walker", "output_bytes", 0x2C, "n", 0, 32, "rw", "Of a sample."),
    Register(
        "walker",
        "arm",
        0x30,
        "address",
        0,
        32,
        "wo",
        "Doorbells of runs of one sample begin walks at this RAM address, a multiple of 8, with all counts zeroed; their "
        "END finishes the command. Undone by begin and clear. Engine and DMA must be idle.",
    ),
)

DESCRIPTOR_OFFSET = 0x40  # dma: TRANSFER's words, as rw registers from here
DESCRIPTORS = {"dma": TRANSFER}


def block(name: str) -> list[Register]:
    """Fields of one block, in address order."""
    return sorted((r for r in REGISTERS if r.block == name), key=lambda r: (r.offset, r.lsb))


def find(block_name: str, reg: str, field: str | None = None) -> Register:
    """The field ``reg.field`` of a block (its first field when none is named)."""
    for r in REGISTERS:
        if (r.block, r.reg) == (block_name, reg) and field in (None, r.name):
            return r
    raise KeyError(f"no register {block_name}.{reg}" + (f".{field}" if field else ""))
