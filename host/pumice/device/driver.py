"""Drives one engine through its host registers; the same code on the simulated board and on real ones."""

from collections.abc import Sequence
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
MAX_TOGETHER = 64
"""Samples between one doorbell and one interrupt: what a start costs is nothing then."""

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
        The sample's part of the output buffer.
    log : tuple of dict
        For each layer command its counters, by the names of `LOG_COUNTERS`; of samples that ran together, those of the
        last.
    cycles : int
        Clock cycles from the doorbell to the interrupt; of samples that ran together, this one's share.
    read_bytes, write_bytes : int
        Memory traffic of the engine; of samples that ran together, this one's share.
    n_together : int
        Samples that ran together, between one doorbell and one interrupt.
    """

    output: bytes
    log: tuple[dict[str, int], ...]
    cycles: int
    read_bytes: int
    write_bytes: int
    n_together: int = 1


class EngineDriver:
    """One engine: loads an image, runs inferences. A context manager that closes the hardware.

    Parameters
    ----------
    hardware : Hardware
        Owned by the driver from here on.
    config : EngineConfig
        What the engine must be.
    limit_cycles : int
        Longest time a command may take, in engine clock cycles; a run of several samples so long for each.
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
        self._room = 0  # samples that the input and output buffers hold
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
        sizes = {"image": header["n_bytes"], **self._sample_bytes(header), "scratch": header["scratch_bytes"]}
        for name in BUFFERS:
            if sizes[name]:
                self._allocate(name, sizes[name])
            else:
                self._write(f"{name}_bytes", 0)
        self._room = 1
        self._put("image", image.data)
        self._command(registers.COMMAND_LOAD, "loading the image")
        self._header = header

    def run(self, data: bytes) -> EngineRun:
        """One inference on an input buffer; see `run_many`."""
        return self.run_many([data])[0]

    def run_many(self, data: Sequence[bytes]) -> list[EngineRun]:
        """One inference for each sample, without a pause in between: as many together as memory has room for, at most
        `MAX_TOGETHER`.

        Parameters
        ----------
        data : sequence of bytes
            An input buffer for each sample, as `Image.pack_input` makes it.

        Raises
        ------
        InputError
            Wrong length.
        DeviceError, DeviceTimeoutError
            A fault, or no interrupt in time; the message holds the engine's state.
        """
        if self._header is None:
            raise DeviceError("no image is loaded: call load first")
        n_bytes = self._header["input_bytes"]
        for sample in data:
            if len(sample) != n_bytes:
                raise InputError(f"the input buffer holds {n_bytes} bytes, not {len(sample)}")
        if not data:
            return []
        room = self._make_room(min(len(data), MAX_TOGETHER), self._header)
        runs = []
        for first in range(0, len(data), room):
            runs += self._run_together(data[first : first + room], self._header)
        return runs

    def _run_together(self, data: Sequence[bytes], header: dict[str, int]) -> list[EngineRun]:
        n = len(data)
        self._put("input", b"".join(data))
        self._command(registers.COMMAND_RUN, "the inference" if n == 1 else f"{n} inferences", n)
        words = memoryview(self._get("log")).cast("I")
        names = [name for name, _ in LOG_COUNTERS]
        log = [dict(zip(names, words[i : i + len(names)], strict=True)) for i in range(0, len(words), len(names))]
        n_layers, output_bytes = header["n_layers"], header["output_bytes"]
        output = self._get("output")
        totals = [self._read(name) for name in ("cycles", "read_bytes", "write_bytes")]
        runs = []
        for i in range(n):
            cycles, read_bytes, write_bytes = ((i + 1) * total // n - i * total // n for total in totals)
            part = output[i * output_bytes : (i + 1) * output_bytes]
            runs.append(
                EngineRun(
                    output=part,
                    log=tuple(log[i * n_layers : (i + 1) * n_layers]),
                    cycles=cycles,
                    read_bytes=read_bytes,
                    write_bytes=write_bytes,
                    n_together=n,
                )
            )
        return runs

    def _make_room(self, n_samples: int, header: dict[str, int]) -> int:
        """Buffers for as many samples as there is memory for, ``n_samples`` at most; returns how many."""
        while n_samples > self._room:
            self._room = 0
            sizes = self._sample_bytes(header)
            for name in sizes:
                if buffer := self._buffers.pop(name, None):
                    buffer.free()
            try:
                for name, n_bytes in sizes.items():
                    self._allocate(name, n_samples * n_bytes)
            except DeviceError:
                if n_samples == 1:
                    raise
                n_samples = (n_samples + 1) // 2
            else:
                self._room = n_samples
        return n_samples

    @staticmethod
    def _sample_bytes(header: dict[str, int]) -> dict[str, int]:
        """Bytes that a sample takes in each buffer that holds several."""
        log_bytes = header["n_layers"] * LOG_ENTRY_BYTES
        return {"input": header["input_bytes"], "output": header["output_bytes"], "log": log_bytes}

    def _allocate(self, name: str, n_bytes: int) -> None:
        buffer = self._buffers[name] = self.hardware.allocate(n_bytes)
        self._write(f"{name}_base_low", buffer.address & 0xFFFF_FFFF)
        self._write(f"{name}_base_high", buffer.address >> 32)
        self._write(f"{name}_bytes", n_bytes)

    def _command(self, command: int, what: str, n_samples: int = 1) -> None:
        more = registers.find("host", "doorbell", "more")
        self._write("doorbell", command | n_samples - 1 << more.lsb)
        limit_cycles = n_samples * self._limit_cycles
        if not self.hardware.wait_interrupt(limit_cycles):
            state = self._describe()
            self.reset()
            raise DeviceTimeoutError(f"{what} did not finish within {limit_cycles} cycles: {state}")
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
