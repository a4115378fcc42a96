"""Hardware in Python for tests of the driver: host registers as documented, runs by the numpy reference."""

import numpy as np
from pumice.device.reference import run_image
from pumice.errors import DeviceError
from pumice.image import parse_header
from pumice.spec import registers
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import BUFFERS, LOG_COUNTERS

CYCLES, READ_BYTES, WRITE_BYTES = 1234, 567, 89


class FakeBuffer:
    """Shared memory behind a cache that is not coherent."""

    def __init__(self, address: int, n_bytes: int):
        self.address, self.freed = address, False
        self.array, self.memory = np.zeros(n_bytes, np.uint8), np.zeros(n_bytes, np.uint8)

    def flush(self):
        """To memory."""
        self.memory[:] = self.array

    def invalidate(self):
        """From memory."""
        self.array[:] = self.memory

    def free(self):
        """Remember it."""
        self.freed = True


class FakeHardware:
    """An engine of ``config``; with ``fault`` each run ends in that fault, with ``hangs`` in none at all."""

    def __init__(self, config: EngineConfig, *, fault: str | None = None, hangs: bool = False, boots: bool = True):
        self.config, self.fault, self.hangs, self.boots = config, fault, hangs, boots
        self.buffers: list[FakeBuffer] = []
        self.registers: dict[int, int] = {}
        self.interrupt = self.closed = False
        self.accesses: list[tuple[str, int]] = []
        self.batches: list[int] = []  # samples of each run
        self.limits: list[int] = []  # of each wait
        self.room = 1 << 30  # bytes that can be allocated
        self._set("magic", registers.MAGIC)
        self._set("version", registers.VERSION_MAJOR << 16 | registers.VERSION_MINOR)
        self._set("config", config.config_id)

    def read(self, offset: int) -> int:
        """A register."""
        self.accesses.append(("read", offset))
        return self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """A register; doorbell, reset and interrupt_clear act."""
        assert type(value) is int
        assert 0 <= value < 1 << 32
        self.accesses.append(("write", offset))
        if offset == self._offset("doorbell"):
            self._command(value & 0xFF, 1 + (value >> 8))
        elif offset == self._offset("interrupt_clear"):
            self.interrupt = False
        else:
            self.registers[offset] = value
            if offset == self._offset("reset"):
                ready = self.boots and not value
                self._set("status", registers.STATE_IDLE if ready else registers.STATE_BOOT)

    def allocate(self, n_bytes: int) -> FakeBuffer:
        """A buffer above 4 GiB."""
        if sum(len(buffer.array) for buffer in self.buffers if not buffer.freed) + n_bytes > self.room:
            raise DeviceError("no room")
        self.buffers.append(FakeBuffer((1 << 33) + 4096 * len(self.buffers), n_bytes))
        return self.buffers[-1]

    def wait_interrupt(self, limit_cycles: int) -> bool:
        """At once."""
        assert limit_cycles > 0
        self.limits.append(limit_cycles)
        return self.interrupt

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def _command(self, command: int, n_samples: int) -> None:
        assert self.registers[self._offset("interrupt_enable")] == 1
        if command == registers.COMMAND_RUN and self.hangs:
            self._set("status", registers.STATE_BUSY)
            return
        self.interrupt = True
        if command == registers.COMMAND_RUN and self.fault:
            self._set("status", registers.STATE_FAULT)
            self._set("fault", registers.FAULT_CODES[self.fault] | 3 << 16)
            self._set("fault_detail", 0xABC)
            self._set("progress", 3 | 7 << 16)
        elif command == registers.COMMAND_RUN:
            memory = {name: self._buffer(name).memory for name in BUFFERS if name != "scratch"}
            self.batches.append(n_samples)
            n_bytes = parse_header(memory["image"].tobytes())["input_bytes"] * n_samples
            inputs = memory["input"][:n_bytes].tobytes()
            output, log = run_image(memory["image"].tobytes(), self.config, inputs, n_samples=n_samples)
            memory["output"][: len(output)] = np.frombuffer(output, np.uint8)
            words = memory["log"].view(np.uint32).reshape(-1, len(LOG_COUNTERS))
            entries = [[10 + i, entry["steps"], entry["nonzeros"], 1, 2, 3, 4, 5] for i, entry in enumerate(log)]
            words[: len(log)] = entries
            self._set("cycles", CYCLES)
            self._set("read_bytes", READ_BYTES)
            self._set("write_bytes", WRITE_BYTES)

    def _buffer(self, name: str) -> FakeBuffer:
        low, high, n = (self.registers[self._offset(f"{name}_{part}")] for part in ("base_low", "base_high", "bytes"))
        found = next(b for b in self.buffers if b.address == low | high << 32)
        assert not found.freed
        assert n == len(found.memory)
        return found

    def _set(self, register: str, value: int) -> None:
        self.registers[self._offset(register)] = value

    @staticmethod
    def _offset(register: str) -> int:
        return registers.find("host", register).offset
