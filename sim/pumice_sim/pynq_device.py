"""A PYNQ device whose programmable logic is the simulated board: PYNQ itself and the host library run as on a board.

    >>> pynq.Device.active_device = SimDevice(BOARDS["KV260"], library)
    >>> pumice.open_device("pynq", bitstream=write_overlay(folder, config, BOARDS["KV260"]))

PYNQ looks for interrupts on the active device only, and keeps clocks and interrupts in globals: one such device at a
time.
"""
# pyright: reportMissingImports=false, reportMissingModuleSource=false

import asyncio
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from pumice.spec.boards import ENGINE_VLNV, INTERRUPT_CONTROLLER_VLNV, ZYNQ, PynqBoard
from pumice.spec.config import EngineConfig
from pumice.spec.hwh import hwh
from pynq import interrupt
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynq.ps import Clocks
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser

from .board import DRAM_BASE, Board, BoardBuffer
from .interrupt_controller import InterruptController

CYCLES_PER_TURN = 1000  # simulated in one turn of the event loop while an interrupt is awaited
WORD_BYTES = 4


class Registers(Protocol):
    """What a bus address range leads to."""

    def read(self, offset: int, /) -> int:
        """A 32-bit register."""
        ...

    def write(self, offset: int, value: int, /) -> None:
        """Write a 32-bit register."""


class Memory:
    """Registers that hold what was written; at first ``values``, each for some offsets, and 0 at others."""

    def __init__(self, *values: tuple[tuple[int, ...], int]):
        self._words = {offset: value for offsets, value in values for offset in offsets}

    def read(self, offset: int) -> int:
        """A 32-bit register."""
        return self._words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register."""
        self._words[offset] = value


class EventSource:
    """In place of PYNQ's ``UioController``: runs the board's clock until there is an interrupt, then sets events."""

    def __init__(self, board: Board, controller: InterruptController):
        self._board, self._controller = board, controller
        self._loop = asyncio.get_event_loop()
        self._events = []

    def add_event(self, event, number: int) -> None:
        """Set ``event`` at the next interrupt. RuntimeError: on a board, this event loop would never hear of it."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "PYNQ's interrupts belong to the event loop that was current when the overlay was loaded"
            )
        self._events.append(event)
        if len(self._events) == 1:
            self._loop.call_soon(self._turn)

    def close(self) -> None:
        """Forget events that still wait."""
        self._events = []

    def _turn(self) -> None:
        if self._events and not self._controller.output():
            self._board.wait_interrupt(CYCLES_PER_TURN)
            self._loop.call_soon(self._turn)
            return
        events, self._events = self._events, []
        for event in events:
            event.set()


class BufferObject:
    """What XRT's buffer object is on a board: its memory returns when the last array on it is gone."""

    def __init__(self, buffer: BoardBuffer):
        self.buffer = buffer

    def __del__(self):
        self.buffer.free()


class SimDevice(Device):
    """A PYNQ device; each download of an overlay starts a new simulated board.

    The host's view of a buffer is a cache that is never coherent: without `PynqBuffer.flush` the engine sees nothing of
    it, without `PynqBuffer.invalidate` the host sees nothing of the engine's.

    Parameters
    ----------
    board : PynqBoard
        Whose processor is simulated: bus addresses, clocks, architecture.
    library : Path
        The engine, from `pumice_sim.build_board`; a bitstream's content does not matter.
    options
        As in `pumice_sim.Board`.

    Attributes
    ----------
    board : Board
        The simulated one; None before the first download.
    """

    pumice_kind = "simulated"

    def __init__(self, board: PynqBoard, library: Path, **options):
        super().__init__("pumice_sim")
        self.name, self.arch = "sim", board.processor.architecture
        self.capabilities = {"REGISTER_RW": True}
        self.board: Board | None = None
        self._controller: InterruptController | None = None
        self._sources: list[EventSource] = []
        self._processor, self._library, self._options = board.processor, library, options
        self._clocks = self._clock_registers()  # PYNQ sets them before it downloads
        self._map: list[tuple[int, int, Registers]] = self._clocks

    def close(self) -> None:
        """End the simulation. Harmless when repeated."""
        for source in self._sources:
            source.close()
        if self.board:
            self.board.close()

    def set_bitfile_name(self, bitfile_name: str) -> None:
        """Read the overlay's hand-off."""
        if "_real_instance" in vars(Clocks):  # else PYNQ keeps the clocks of the first device for ever
            del Clocks._real_instance
        super().set_bitfile_name(bitfile_name)

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> RuntimeMetadataParser:
        """The overlay's hand-off, and the processor's memory, which a hand-off does not show."""
        parser = RuntimeMetadataParser(Metadata(input=str(Path(bitfile_name).with_suffix(".hwh"))))
        memory = {"used": 1, "streaming": False, "idx": 0, "base_address": DRAM_BASE, "fullpath": "PSDDR"}
        parser.mem_dict["PSDDR"] = {**memory, "tag": "PSDDR", "type": "DDR4", "size": 0}
        if not hasattr(Clocks, "set_device"):  # PYNQ 3.0 asks the host, not the device, which clocks there are
            parser.clock_dict = {}
        return parser

    def gen_cache(self, bitstream, parser=None) -> None:
        """Nothing: hand-offs are read anew each time."""

    def download(self, bitstream, parser=None) -> None:
        """Start a new simulated board and place it on the bus where the hand-off says."""
        self.close()
        self.board = Board(self._library, **self._options)
        parser = parser or self.parser
        controller = InterruptController(partial(self.board.wait_interrupt, 0))
        models = {ENGINE_VLNV: self.board, INTERRUPT_CONTROLLER_VLNV: controller}
        self._map = self._clocks + [
            (ip["phys_addr"], ip["addr_range"], models[ip["type"]])
            for ip in parser.ip_dict.values()
            if ip["type"] in models
        ]
        self._controller = controller
        interrupt._InterruptController._controllers.clear()
        lines = [entry["raw_irq"] for entry in parser.interrupt_controllers.values()]
        self._sources = [EventSource(self.board, controller) for _ in lines]
        interrupt._InterruptController._uio_devices.update(zip(lines, self._sources, strict=True))
        super().post_download(bitstream, parser, self.name)

    def read_registers(self, address: int, length: int) -> bytes:
        """Registers on the bus, as little-endian bytes."""
        words = (self._access(address + i) for i in range(0, length, WORD_BYTES))
        return b"".join(registers.read(offset).to_bytes(WORD_BYTES, "little") for registers, offset in words)

    def write_registers(self, address: int, data: bytes) -> None:
        """Write registers on the bus."""
        for i in range(0, len(data), WORD_BYTES):
            registers, offset = self._access(address + i)
            registers.write(offset, int.from_bytes(data[i : i + WORD_BYTES], "little"))

    def allocate(self, shape, dtype="u4", **_) -> PynqBuffer:
        """A buffer in the simulated DRAM, which holds anything, as on a board."""
        dtype = np.dtype(dtype)
        if self.board is None:
            raise RuntimeError("no overlay has been downloaded")
        buffer = self.board.allocate(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        buffer.array[:] = 0xA5
        buffer.flush()
        memory = {"device": self, "device_address": buffer.address, "bo": BufferObject(buffer), "coherent": False}
        return PynqBuffer(shape, dtype, buffer=buffer.array, **memory)

    def flush(self, bo: BufferObject, offset: int, pointer: int, size: int) -> None:
        """Write the host's copy of the whole buffer object to DRAM, as XRT does."""
        bo.buffer.flush()

    def invalidate(self, bo: BufferObject, offset: int, pointer: int, size: int) -> None:
        """Replace the host's copy of the whole buffer object by what DRAM holds, as XRT does."""
        bo.buffer.invalidate()

    def _access(self, address: int) -> tuple[Registers, int]:
        if self._controller:
            self._controller.output()  # an interrupt that polling sees, and clears, leaves its mark there too
        for base, n_bytes, registers in self._map:
            if base <= address < base + n_bytes:
                return registers, address - base
        raise RuntimeError(f"bus error: nothing answers at {address:#x}")

    def _clock_registers(self) -> list[tuple[int, int, Registers]]:
        """The processor's clock registers as after boot (offsets: Xilinx UG585, UG1087)."""
        multiplier = self._processor.pll_multiplier
        if self._processor is ZYNQ:
            plls, outputs = (0x100, 0x104, 0x108), (0x170, 0x180, 0x190, 0x1A0)
            return [(0xF800_0000, 0x1000, Memory((plls, multiplier << 12), (outputs, 1 << 20 | 10 << 8)))]
        outputs = (0xC0, 0xC4, 0xC8, 0xCC)
        low_power = Memory(((0x20, 0x30), multiplier << 8), (outputs, 1 << 24 | 1 << 16 | 15 << 8))
        full_power = Memory(((0x20, 0x2C, 0x38), multiplier << 8))
        return [(0xFF5E_0000, 0x1000, low_power), (0xFD1A_0000, 0x1000, full_power)]


def write_overlay(folder: Path, config: EngineConfig, board: PynqBoard) -> Path:
    """Write ``pumice.hwh`` and a bitstream without content to ``folder``; returns the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    bitstream = folder / "pumice.bit"
    bitstream.with_suffix(".hwh").write_text(hwh(config, board))
    bitstream.touch()
    return bitstream
