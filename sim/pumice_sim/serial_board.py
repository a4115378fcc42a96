"""The pin-level ULX3S, simulated, behind a pseudo-terminal: what a host opens like a board's serial port."""

import ctypes
import os
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path

from pumice.spec.config import EngineConfig

from .build import build_library
from .firmware import build_firmware

SOURCE = Path(__file__).parent / "cpp" / "serial_board.cpp"
DIVIDER = 4  # clock cycles a bit: the fewest that the receiver takes, so that simulations are short
SLICE_CYCLES = 2000  # simulated between two looks at the pseudo-terminal: fifty bytes
CHUNK_BYTES = 4096
_FUNCTIONS = {
    "serial_board_new": (ctypes.c_void_p, [ctypes.c_uint32]),
    "serial_board_delete": (None, [ctypes.c_void_p]),
    "serial_board_send": (None, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64]),
    "serial_board_receive": (ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64]),
    "serial_board_run": (None, [ctypes.c_void_p, ctypes.c_uint64]),
    "serial_board_lamps": (ctypes.c_uint, [ctypes.c_void_p]),
}


def build_serial_board(config: EngineConfig) -> Path:
    """Shared library of a ULX3S with the engine ``config``; built when it is not there yet.

    Raises
    ------
    ImportError
        What building needs is not installed.
    RuntimeError
        A tool failed; the message holds what it said.
    """
    from pumice_hdl.boards.ulx3s import OSCILLATOR_MHZ, Ulx3s
    from pumice_hdl.system.soft_core import verilog_source

    from .convert import simulation_verilog

    firmware = build_firmware(config.cpu_ram_bytes)
    board = Ulx3s(config, firmware, clock_mhz=None, baud=OSCILLATOR_MHZ * 1_000_000 // DIVIDER)
    text = simulation_verilog(board)
    return build_library(f"ulx3s-{config.name}", text, (verilog_source(),), harness=SOURCE)


class SerialBoard:
    """One simulated board, running from start to close in a thread of its own; a context manager that closes it.

    Parameters
    ----------
    library : Path
        From `build_serial_board`.
    to_board, to_host : callable, optional
        What each direction of the line makes of bytes; default: it leaves them as they are.

    Attributes
    ----------
    to_board, to_host : callable
    port : str
        Name of the serial port.
    """

    def __init__(
        self, library: Path, *, to_board: Callable[[bytes], bytes] = bytes, to_host: Callable[[bytes], bytes] = bytes
    ):
        self._library = ctypes.CDLL(str(library))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self.to_board, self.to_host = to_board, to_host
        self._board = self._library.serial_board_new(DIVIDER)
        self._far_end, self._near_end = os.openpty()  # the near end stays open so that the port lives between two hosts
        tty.setraw(self._near_end)
        self.port = os.ttyname(self._near_end)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serial board", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """End the simulation and take the port away. Harmless when repeated."""
        if self._board:
            self._stop.set()
            self._thread.join()
            self._library.serial_board_delete(self._board)
            self._board = None
            os.close(self._far_end)
            os.close(self._near_end)

    @property
    def lamps(self) -> int:
        """The eight lamps as bits."""
        return self._library.serial_board_lamps(self._board)

    def _run(self) -> None:
        chunk = ctypes.create_string_buffer(CHUNK_BYTES)
        while not self._stop.is_set():
            if select.select([self._far_end], [], [], 0)[0]:
                data = self.to_board(os.read(self._far_end, CHUNK_BYTES))
                self._library.serial_board_send(self._board, data, len(data))
            self._library.serial_board_run(self._board, SLICE_CYCLES)
            n_bytes = self._library.serial_board_receive(self._board, chunk, CHUNK_BYTES)
            if data := self.to_host(chunk.raw[:n_bytes]):
                os.write(self._far_end, data)
