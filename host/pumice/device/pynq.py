"""An engine through PYNQ: the same code on a board and, with `pumice_sim.pynq_device`, on a PC.

Importing this module needs the ``pynq`` package, 3.0.1 to 4.0.0 (Zynq-7000 boards: below 4).
"""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportCallIssue=false

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pynq import DefaultIP, Overlay, allocate
from pynq.ps import Clocks

from ..errors import DeviceError
from ..spec import registers
from ..spec.boards import BOARDS, ENGINE_VLNV, INTERRUPT_PORT
from ..spec.config import CONFIGS, EngineConfig
from .driver import LIMIT_CYCLES, EngineDriver

WAITS = ("interrupt", "polling")
OVERLAYS = Path(__file__).parents[1] / "overlays"
_PENDING = registers.find("host", "interrupt", "pending").offset
_CONFIG_ID = registers.find("host", "config", "id").offset
_HZ_PER_MHZ = 1_000_000


class PumiceEngine(DefaultIP):
    """The engine in a PYNQ overlay: its ``register_map``, and what `PynqHardware` drives."""

    bindto = [ENGINE_VLNV]  # noqa: RUF012 (PYNQ reads a list here)


class PynqBuffer:
    """A buffer of the device's memory; see `pumice.device.protocol.Buffer`."""

    def __init__(self, n_bytes: int, device):
        self._memory: Any = allocate((n_bytes,), np.uint8, target=device)
        self._memory[:] = 0
        self._memory.flush()  # a dirty line that is written back later would overwrite what the engine wrote
        self.array: np.ndarray = self._memory.view(np.ndarray)
        self.address = int(self._memory.device_address)

    def flush(self) -> None:
        """Make the host's writes visible to the engine."""
        self._memory.flush()

    def invalidate(self) -> None:
        """Make the engine's writes visible to the host."""
        self._memory.invalidate()

    def free(self) -> None:
        """Give the memory back: PYNQ does when the last array on it is gone. Harmless when repeated."""
        self.array = self._memory = np.zeros(0, np.uint8)


class PynqHardware:
    """The engine of a PYNQ overlay, which is downloaded here; implements `pumice.device.protocol.Hardware`.

    Parameters
    ----------
    bitstream : Path
        ``.bit`` with its ``.hwh`` beside it.
    wait : str
        ``interrupt`` or ``polling``. Where an event loop runs already, as in Jupyter, waits are always polling: PYNQ
        delivers interrupts through a loop of its own.
    device : pynq.Device, optional
        Default: PYNQ's active device.

    Attributes
    ----------
    overlay : pynq.Overlay
    clock_mhz : float, optional
        The engine's clock as the processor's registers have it; None where the PYNQ at hand cannot tell.

    Raises
    ------
    DeviceError
        There is no PYNQ device, PYNQ cannot load the overlay, or the overlay does not hold one engine (with an
        interrupt where that is to be waited for).
    """

    def __init__(self, bitstream: Path, *, wait: str = "interrupt", device=None):
        if wait not in WAITS:
            raise DeviceError(f"wait must be one of {', '.join(WAITS)}, not {wait!r}")
        self._loop = _event_loop()  # PYNQ ties an overlay's interrupts to the loop that is current now
        try:
            self.overlay = Overlay(str(bitstream), device=device)
        except (OSError, RuntimeError) as error:
            raise DeviceError(f"PYNQ cannot load {bitstream}: {error}") from error
        names = [name for name, ip in self.overlay.ip_dict.items() if ip["type"] == ENGINE_VLNV]
        if len(names) != 1:
            raise DeviceError(f"{bitstream} holds {len(names)} engines ({ENGINE_VLNV}), not one")
        self._engine: Any = getattr(self.overlay, names[0])
        self._interrupt: Any = getattr(self._engine, INTERRUPT_PORT, None) if wait == "interrupt" else None
        if wait == "interrupt" and self._interrupt is None:
            raise DeviceError(f"PYNQ finds no interrupt of {names[0]} in {bitstream}: use wait='polling'")
        self.clock_mhz: float | None = Clocks.fclk0_mhz if self.overlay.clock_dict else None

    def read(self, offset: int) -> int:
        """A 32-bit register of the host block, by byte offset."""
        return int(self._mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register of the host block, by byte offset; ``value`` in 0 .. 2**32 - 1."""
        self._mmio.write(offset, int(value))  # PYNQ refuses numpy's integers

    def allocate(self, n_bytes: int) -> PynqBuffer:
        """A zeroed buffer of ``n_bytes`` bytes."""
        return PynqBuffer(n_bytes, self.overlay.device)

    def wait_interrupt(self, limit_cycles: int) -> bool:
        """Wait until an interrupt is pending, at most as long as ``limit_cycles`` engine clock cycles take on a board.

        False where the register says pending but the interrupt did not arrive.
        """
        seconds = limit_cycles / (_HZ_PER_MHZ * (self.clock_mhz or 1))
        if self._interrupt is None or _in_event_loop():
            return self._poll(seconds)
        try:
            self._loop.run_until_complete(asyncio.wait_for(self._arrives(), seconds))
        except asyncio.TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Let go of the engine; the overlay stays on the device. Harmless when repeated."""
        self._engine = self._interrupt = None

    @property
    def _mmio(self):
        if self._engine is None:
            raise DeviceError("the device is closed")
        return self._engine.mmio

    def _pending(self) -> bool:
        return bool(self.read(_PENDING) & 1)

    async def _arrives(self) -> None:
        while not self._pending():
            await self._interrupt.wait()  # also returns for an interrupt whose wait was given up

    def _poll(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._pending():
            if time.monotonic() > deadline:
                return False
        return True


def open_pynq(
    config: EngineConfig | None = None,
    *,
    bitstream: str | Path | None = None,
    wait: str = "interrupt",
    timeout_s: float | None = None,
    device=None,
) -> tuple[str, EngineDriver]:
    """Download an overlay and open its engine.

    Parameters
    ----------
    config : EngineConfig, optional
        What the engine must be; default: what it says that it is.
    bitstream : path, optional
        Default: the package's own for the board that the environment variable ``BOARD`` names.
    wait, device
        As in `PynqHardware`.
    timeout_s : float, optional
        Longest time of a command; default: what `pumice.device.driver.LIMIT_CYCLES` take.

    Returns
    -------
    tuple of str and EngineDriver
        The kind of its cycles (see `pumice.report.Result`), and the driver; its ``config`` has the clock that the
        engine really runs at.

    Raises
    ------
    DeviceError
        As `PynqHardware` and `EngineDriver` say, or the package has no bitstream for this board.
    """
    hardware = PynqHardware(Path(bitstream) if bitstream else packaged_bitstream(), wait=wait, device=device)
    if config is None:
        found = hardware.read(_CONFIG_ID)
        config = next((c for c in CONFIGS.values() if c.config_id == found), CONFIGS["Z7020"])  # the driver complains
    hardware.clock_mhz = hardware.clock_mhz or config.clock_mhz
    config = replace(config, clock_mhz=hardware.clock_mhz)
    limit_cycles = LIMIT_CYCLES if timeout_s is None else max(1, round(timeout_s * _HZ_PER_MHZ * config.clock_mhz))
    kind = getattr(hardware.overlay.device, "pumice_kind", "on-board")
    return kind, EngineDriver(hardware, config, limit_cycles=limit_cycles)


def packaged_bitstream() -> Path:
    """The bitstream that the package holds for this board. DeviceError: it holds none."""
    name = os.environ.get("BOARD", "")
    board = next((board for board in BOARDS.values() if board.name.lower() == name.lower()), None)
    if board is None:
        raise DeviceError(
            f"the environment variable BOARD is {name!r}, not one of {', '.join(BOARDS)}: name a bitstream "
            "(bitstream='path/to/pumice.bit')"
        )
    path = OVERLAYS / board.folder / "pumice.bit"
    if not path.exists():
        raise DeviceError(
            f"this package holds no bitstream for {board.name}: build one on a PC with Vivado (pumice build --board "
            f"{board.folder}) and copy pumice.bit and pumice.hwh to {path.parent}, or name one "
            "(bitstream='path/to/pumice.bit')"
        )
    return path


def _event_loop() -> asyncio.AbstractEventLoop:
    """The current event loop; one is made and becomes current where there is none."""
    try:
        return asyncio.get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
