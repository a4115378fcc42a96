"""The simulated board: a verilated system, its clock and its DRAM, in this process."""

import ctypes
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pumice.errors import DeviceError

DRAM_BASE = 0x1000_0000
PAGE_BYTES = 4096
CREDIT_ONE = 1 << 16  # as in board.cpp
MAX_BANDWIDTH = 1.0
_POINTER, _U64, _U32, _INT = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int
_FUNCTIONS = {
    "board_new": (_POINTER, [_POINTER, _U64, _U64, _U32, _U32, ctypes.c_char_p]),
    "board_delete": (None, [_POINTER]),
    "board_allow": (None, [_POINTER, _U64, _U64]),
    "board_revoke": (None, [_POINTER, _U64]),
    "board_read": (_INT, [_POINTER, _U32, ctypes.POINTER(_U32)]),
    "board_write": (_INT, [_POINTER, _U32, _U32]),
    "board_run": (_INT, [_POINTER, _U64, _INT]),
    "board_interrupt": (_INT, [_POINTER]),
    "board_cycles": (_U64, [_POINTER]),
    "board_clear_traffic": (None, [_POINTER]),
    "board_traffic": (None, [_POINTER, ctypes.POINTER(_U64)]),
    "board_error": (ctypes.c_char_p, [_POINTER]),
}


class BoardError(DeviceError):
    """The design broke a bus protocol, did not answer, or the board was asked for something that it has not."""


class Traffic(NamedTuple):
    """Data beats of 8 bytes on the memory port, and the cycles of the first and last one that was read."""

    read_beats: int
    write_beats: int
    first_read: int
    last_read: int


class BoardBuffer:
    """A piece of the board's DRAM as the host sees it, through a cache that is not coherent with the design.

    Attributes
    ----------
    array : ndarray of uint8, (n_bytes,)
        The host's copy; `flush` makes it visible to the design, `invalidate` fetches what the design wrote.
    address : int
        Bus address, a multiple of the page size.
    """

    def __init__(self, board: "Board", address: int, memory: np.ndarray):
        self.array, self.address = np.zeros_like(memory), address
        self._board, self._memory = board, memory

    def flush(self) -> None:
        """Write the host's copy to DRAM."""
        self._memory[:] = self.array

    def invalidate(self) -> None:
        """Replace the host's copy by what DRAM holds."""
        self.array[:] = self._memory

    def free(self) -> None:
        """Give the memory back; later accesses by the design are answered with an error. Harmless when repeated."""
        self._board._free(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()


class Board:
    """One simulated board; a context manager that frees everything at its end.

    Parameters
    ----------
    library : Path
        From `pumice_sim.build_board`.
    dram_bytes : int
        Size of the DRAM.
    latency : int
        Clock cycles from a burst's address (or last write beat) to its answer; the default, 40 at 120 MHz, is of the
        order of a PYNQ-Z2's DDR3 behind a high-performance port.
    bandwidth : float
        64-bit beats per clock cycle in each direction, in (0, 1].
    outstanding : int
        Bursts in flight in each direction (8 on a Zynq high-performance port).
    trace : Path, optional
        Write a trace there, of the kind that the library was built for (``build_board(config, trace="vcd")``); without
        one, nothing is written.

    Raises
    ------
    BoardError
        From every method: the design broke the AXI protocol (4 KiB crossing, ``wlast``, changed before taken) or left a
        register access unanswered; the message gives the cycle. The board is of no further use then.
    """

    def __init__(
        self,
        library: Path,
        *,
        dram_bytes: int = 64 << 20,
        latency: int = 40,
        bandwidth: float = 0.9,
        outstanding: int = 8,
        trace: Path | None = None,
    ):
        if not 0 < bandwidth <= MAX_BANDWIDTH:
            raise ValueError(f"bandwidth must be in (0, {MAX_BANDWIDTH:g}] beats per cycle, not {bandwidth}")
        if latency < 1 or outstanding < 1:
            raise ValueError(f"latency and outstanding must be at least 1, not {latency} and {outstanding}")
        if dram_bytes < PAGE_BYTES or dram_bytes % PAGE_BYTES:
            raise ValueError(f"dram_bytes must be a positive multiple of {PAGE_BYTES}, not {dram_bytes}")
        self._library = ctypes.CDLL(str(library))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._dram = np.zeros(dram_bytes, np.uint8)
        self._free_spans = {0: dram_bytes}  # offset -> length
        self._used_spans: dict[int, int] = {}
        self._board = self._library.board_new(
            self._dram.ctypes.data,
            DRAM_BASE,
            latency,
            max(1, round(bandwidth * CREDIT_ONE)),
            outstanding,
            str(trace).encode() if trace else None,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """End the simulation. Harmless when repeated."""
        if self._board:
            self._library.board_delete(self._board)
            self._board = None

    def read(self, offset: int) -> int:
        """A 32-bit host register, by byte offset; takes some clock cycles."""
        value = _U32()
        self._check(self._library.board_read(self._handle(), offset, ctypes.byref(value)))
        return value.value

    def write(self, offset: int, value: int) -> None:
        """Write a 32-bit host register, by byte offset; takes some clock cycles."""
        self._check(self._library.board_write(self._handle(), offset, value))

    def allocate(self, n_bytes: int) -> BoardBuffer:
        """DRAM for ``n_bytes`` bytes, zeroed, on a page boundary; only such memory can be reached by the design."""
        span = max(1, -(-n_bytes // PAGE_BYTES)) * PAGE_BYTES
        offset = next((o for o, length in sorted(self._free_spans.items()) if length >= span), None)
        if offset is None:
            raise BoardError(f"the board's {self._dram.size} bytes of DRAM have no room for {n_bytes} more")
        rest = self._free_spans.pop(offset) - span
        if rest:
            self._free_spans[offset + span] = rest
        self._used_spans[offset] = span
        memory = self._dram[offset : offset + n_bytes]
        memory[:] = 0
        self._library.board_allow(self._handle(), DRAM_BASE + offset, n_bytes)
        return BoardBuffer(self, DRAM_BASE + offset, memory)

    def wait_interrupt(self, limit_cycles: int) -> bool:
        """Run until the interrupt line is high, at most ``limit_cycles`` cycles; says whether it is."""
        self._check(self._library.board_run(self._handle(), limit_cycles, True))
        return bool(self._library.board_interrupt(self._handle()))

    def run(self, n_cycles: int) -> None:
        """Run for ``n_cycles`` clock cycles."""
        self._check(self._library.board_run(self._handle(), n_cycles, False))

    @property
    def cycles(self) -> int:
        """Clock cycles since reset."""
        return self._library.board_cycles(self._handle())

    def clear_traffic(self) -> None:
        """Start to count memory traffic anew."""
        self._library.board_clear_traffic(self._handle())

    @property
    def traffic(self) -> Traffic:
        """Memory traffic since the board was made or `clear_traffic` called; cycles are 0 before the first read."""
        counts = (_U64 * len(Traffic._fields))()
        self._library.board_traffic(self._handle(), counts)
        return Traffic(*counts)

    def _free(self, buffer: BoardBuffer) -> None:
        offset = buffer.address - DRAM_BASE
        span = self._used_spans.pop(offset, None)
        if span is None or not self._board:
            return
        self._library.board_revoke(self._board, buffer.address)
        spans = sorted({**self._free_spans, offset: span}.items())
        self._free_spans, first, end = {}, 0, -1
        for start, length in spans:  # joins neighbours
            if start != end:
                first = start
            self._free_spans[first] = self._free_spans.get(first, 0) + length
            end = start + length

    def _handle(self):
        if not self._board:
            raise BoardError("the simulated board is closed")
        return self._board

    def _check(self, ok: int) -> None:
        if not ok:
            raise BoardError(f"simulated board: {self._library.board_error(self._board).decode()}")
