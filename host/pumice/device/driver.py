"""Drives one engine through its host registers; the same code on the simulated board and on real ones."""

from dataclasses import dataclass

import numpy as np

from ..errors import DeviceError, DeviceTimeoutError, InputError
from ..image import Image, parse_header
from ..spec import registers
from ..spec.config import CONFIGS, EngineConfig
from ..spec.descriptor import BUFFERS, LOG_COUNTERS, LOG_ENTRY_BYTES
from .protocol import Buffer, Hardware

BOOT_READS = 20_000
WATCHDOG_CYCLES = 1_000_000
LIMIT_CYCLES = 500_000_000
_STATES = {
    registers.STATE_BOOT: "boot",
    registers.STATE_IDLE: "idle",
    registers.STATE_BUSY: "busy",
    registers.STATE_FAULT: "fault",
}


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """What one inference left behind.

    Attributes
    ----------
    output : bytes
        The output buffer.
    log : tuple of dict
        For each layer command its counters, by the names of `LOG_COUNTERS`.
    cycles : int
        Clock cycles from the doorbell to the interrupt.
    read_bytes, write_bytes : int
        Memory traffic of the engine.
    """

    output: bytes
    log: tuple[dict[str, int], ...]
    cycles: int
    read_bytes: int
    write_bytes: int


class EngineDriver:
    """One engine: loads an image, runs inferences. A context manager that closes the hardware.

    Parameters
    ----------
    hardware : Hardware
        Owned by the driver from here on.
    config : EngineConfig
        What the engine must be.
    limit_cycles : int
        Longest time a command may take, in engine clock cycles.
    watchdog_cycles : int
        Cycles without progress after which the engine itself gives up.

    Raises
    ------
    DeviceError
        There is no Pumice engine, it has another register map or configuration, or it does not boot.
    """

    def __init__(
        self,
        hardware: Hardware,
        config: EngineConfig,
        *,
        limit_cycles: int = LIMIT_CYCLES,
        watchdog_cycles: int = WATCHDOG_CYCLES,
    ):
        self.config = config
        self.hardware, self._limit_cycles, self._watchdog_cycles = hardware, limit_cycles, watchdog_cycles
        self._buffers: dict[str, Buffer] = {}
        self._header: dict[str, int] | None = None
        try:
            self._check_identity()
            self.reset()
        except BaseException:
            hardware.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Free the buffers and let go of the hardware. Harmless when repeated."""
        self._header = None
        self._free_buffers()
        self.hardware.close()

    def reset(self) -> None:
        """Restart the soft core and drop the loaded image."""
        self._header = None
        self._write("reset", 1)
        self._write("reset", 0)
        for _ in range(BOOT_READS):
            if self._read("status", "state") != registers.STATE_BOOT:
                break
        else:
            raise DeviceTimeoutError(f"the engine's firmware does not start: {self._describe()}")
        self._write("watchdog", self._watchdog_cycles)
        self._write("interrupt_enable", 1)

    def load(self, image: Image) -> None:
        """Hand an image to the engine and let it load its resident weights.

        Raises
        ------
        ImageError
            The image is damaged or for another configuration.
        DeviceError, DeviceTimeoutError
            The engine refused it; the message holds the fault.
        """
        header = parse_header(image.data, self.config)
        self._header = None
        self._free_buffers()
        log_bytes = header["n_layers"] * LOG_ENTRY_BYTES
        sizes = (header["n_bytes"], header["input_bytes"], header["output_bytes"], log_bytes, header["scratch_bytes"])
        for name, n_bytes in zip(BUFFERS, sizes, strict=True):
            if n_bytes == 0:
                self._write(f"{name}_bytes", 0)
                continue
            buffer = self._buffers[name] = self.hardware.allocate(n_bytes)
            self._write(f"{name}_base_low", buffer.address & 0xFFFF_FFFF)
            self._write(f"{name}_base_high", buffer.address >> 32)
            self._write(f"{name}_bytes", n_bytes)
        self._put("image", image.data)
        self._command(registers.COMMAND_LOAD, "loading the image")
        self._header = header

    def run(self, data: bytes) -> EngineRun:
        """One inference.

        Parameters
        ----------
        data : bytes
            The input buffer, as `Image.pack_input` makes it.

        Raises
        ------
        InputError
            Wrong length.
        DeviceError, DeviceTimeoutError
            A fault, or no interrupt in time; the message holds the engine's state.
        """
        if self._header is None:
            raise DeviceError("no image is loaded: call load first")
        if len(data) != self._header["input_bytes"]:
            raise InputError(f"the input buffer holds {self._header['input_bytes']} bytes, not {len(data)}")
        self._put("input", data)
        self._command(registers.COMMAND_RUN, "the inference")
        words = memoryview(self._get("log")).cast("I")
        names = [name for name, _ in LOG_COUNTERS]
        return EngineRun(
            output=self._get("output"),
            log=tuple(
                dict(zip(names, words[i : i + len(names)], strict=True)) for i in range(0, len(words), len(names))
            ),
            cycles=self._read("cycles"),
            read_bytes=self._read("read_bytes"),
            write_bytes=self._read("write_bytes"),
        )

    def _command(self, command: int, what: str) -> None:
        self._write("doorbell", command)
        if not self.hardware.wait_interrupt(self._limit_cycles):
            state = self._describe()
            self.reset()
            raise DeviceTimeoutError(f"{what} did not finish within {self._limit_cycles} cycles: {state}")
        self._write("interrupt_clear", 1)
        if self._read("status", "state") != registers.STATE_IDLE:
            state = self._describe()
            self.reset()  # whatever was under way is gone; the next image starts afresh
            raise DeviceError(f"{what} failed: {state}")

    def _describe(self) -> str:
        """The engine's state in words, for messages."""
        state = _STATES[self._read("status", "state")]
        code = self._read("fault", "code")
        name, meaning = registers.FAULTS.get(code, ("unknown", f"Fault code {code}."))
        layers, transfers = self._read("progress", "layers"), self._read("progress", "transfers")
        n_layers = f" of {self._header['n_layers']}" if self._header else ""
        return (
            f"state {state}; fault {name} ({meaning}) with detail {self._read('fault_detail'):#x} "
            f"at layer {self._read('fault', 'layer')}; {layers}{n_layers} layers and {transfers} transfers completed; "
            f"{self._read('cycles')} cycles, {self._read('read_bytes')} bytes read, "
            f"{self._read('write_bytes')} bytes written"
        )

    def _check_identity(self) -> None:
        magic = self._read("magic")
        if magic != registers.MAGIC:
            raise DeviceError(
                f"no Pumice engine here: the magic register reads {magic:#010x}, not {registers.MAGIC:#010x}"
            )
        major = self._read("version", "major")
        if major != registers.VERSION_MAJOR:
            raise DeviceError(f"the engine has register map {major}, this library drives {registers.VERSION_MAJOR}")
        found = self._read("config", "id")
        if found != self.config.config_id:
            name = next((c.name for c in CONFIGS.values() if c.config_id == found), f"an unknown one, id {found:#010x}")
            raise DeviceError(f"the engine's configuration is {name}, not {self.config.name}")

    def _put(self, name: str, data: bytes) -> None:
        buffer = self._buffers[name]
        buffer.array[: len(data)] = np.frombuffer(data, np.uint8)
        buffer.flush()

    def _get(self, name: str) -> bytes:
        self._buffers[name].invalidate()
        return self._buffers[name].array.tobytes()

    def _free_buffers(self) -> None:
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers = {}

    def _read(self, register: str, field: str | None = None) -> int:
        r = registers.find("host", register, field)
        return self.hardware.read(r.offset) >> r.lsb & ((1 << r.bits) - 1)

    def _write(self, register: str, value: int) -> None:
        self.hardware.write(registers.find("host", register).offset, value)
