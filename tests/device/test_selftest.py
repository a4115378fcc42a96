"""The self-test on hardware in Python and, in part, on hardware that is broken."""

import numpy as np
import pytest
from pumice import selftest
from pumice.device import Device, open_device
from pumice.device.driver import EngineDriver
from pumice.errors import DeviceError
from pumice.spec import registers
from pumice.spec.config import TINY

from .fake_hardware import FakeBuffer, FakeHardware


def device(hardware: FakeHardware) -> Device:
    return Device("sim", "simulated", TINY, EngineDriver(hardware, TINY))


class NotLoaded(FakeHardware):
    """Answers a run without an image as the firmware does."""

    def _command(self, command, n_samples):
        if command == registers.COMMAND_RUN and not self.buffers_in_use():
            self.interrupt = True
            self._set("fault", registers.FAULT_CODES["not_loaded"])
        else:
            self._set("status", registers.STATE_IDLE)
            super()._command(command, n_samples)

    def buffers_in_use(self) -> int:
        """Buffers that were allocated and not freed."""
        return sum(not buffer.freed for buffer in self.buffers)


def test_everything_passes():
    with device(NotLoaded(TINY)) as opened:
        found = dict(selftest.run_checks(opened, 9))
    assert list(found) == ["registers", "memory", "interrupt", "network", "throughput"]
    assert found["network"] == "9 inferences equal the golden model"
    assert found["throughput"] == "9 inferences in a row equal the golden model"


def test_register_that_keeps_a_bit():
    hardware = NotLoaded(TINY)
    write = hardware.write
    stuck = registers.find("host", "output_base_low").offset
    hardware.write = lambda offset, value: write(offset, value | 4 if offset == stuck else value)
    with pytest.raises(DeviceError, match="registers: register output_base_low reads 0x00000064 after 0x00000060"):
        list(selftest.run_checks(device(hardware), 1))


def test_memory_that_forgets(monkeypatch):
    monkeypatch.setattr(FakeBuffer, "flush", lambda self: None)
    with pytest.raises(DeviceError, match="memory: the buffer at 0x200000000 does not hold"):
        list(selftest.run_checks(device(NotLoaded(TINY)), 1))


def test_memory_that_is_not_aligned(monkeypatch):
    allocate = NotLoaded.allocate

    def shifted(hardware, n_bytes):
        buffer = allocate(hardware, n_bytes)
        buffer.address += 4
        return buffer

    monkeypatch.setattr(NotLoaded, "allocate", shifted)
    with pytest.raises(DeviceError, match="memory: a buffer is at 0x200000004, not at a multiple of 8"):
        list(selftest.run_checks(device(NotLoaded(TINY)), 1))


def test_command_that_does_something_else():
    hardware = NotLoaded(TINY)
    command, wrong = hardware._command, registers.FAULT_CODES["bounds"]
    hardware._command = lambda *call: (command(*call), hardware._set("fault", wrong))
    with pytest.raises(DeviceError, match=f"interrupt: running without an image gave fault code {wrong}, not"):
        list(selftest.run_checks(device(hardware), 1))


@pytest.mark.parametrize(("level", "message"), [(False, "gave no interrupt"), (True, "stays after it was cleared")])
def test_interrupt_that_is_stuck(level, message):
    hardware = NotLoaded(TINY)
    hardware.wait_interrupt = lambda limit_cycles: level
    with pytest.raises(DeviceError, match=f"interrupt: .*{message}"):
        list(selftest.run_checks(device(hardware), 1))


def test_wrong_answer_is_told():
    hardware = NotLoaded(TINY)
    opened, n_invalidated = device(hardware), []

    def invalidate(buffer):
        buffer.array[:] = buffer.memory
        n_invalidated.append(buffer)
        if len(n_invalidated) > 2 * 3:  # log and output of three runs
            buffer.array ^= np.uint8(1)

    checks = selftest.run_checks(opened, 5)
    for _ in range(3):
        next(checks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeBuffer, "invalidate", invalidate)
        with pytest.raises(DeviceError, match="network: inference 3 gave"):
            next(checks)


def test_wrong_answer_in_a_row_is_told(monkeypatch):
    checks = selftest.run_checks(device(NotLoaded(TINY)), 5)
    for _ in range(4):
        next(checks)
    monkeypatch.setattr(FakeBuffer, "invalidate", lambda buffer: buffer.array.fill(1))
    with pytest.raises(DeviceError, match="throughput: inference 0 gave"):
        next(checks)


def test_device_without_hardware():
    with open_device("reference", config=TINY) as opened, pytest.raises(DeviceError, match="no hardware to test"):
        list(selftest.run_checks(opened))


def test_a_thousand_repeats_unless_told_otherwise(monkeypatch):
    asked = []
    opened = device(NotLoaded(TINY))
    monkeypatch.setattr(selftest, "open_device", lambda *name, **options: opened)
    monkeypatch.setattr(selftest, "run_checks", lambda device, n: asked.append(n) or [])
    assert selftest.main([]) == 0
    assert asked == [1000]


@pytest.mark.parametrize(
    "arguments", [["--repeats", "0"], ["--wait", "polling"], ["--timeout-s", "1"], ["--device", "reference"]]
)
def test_refused_arguments(arguments):
    with pytest.raises(SystemExit):
        selftest.main(arguments)


def test_failure_is_the_exit_status(capsys):
    assert selftest.main(["--config", "none"]) == 1
    assert "FAILED: there is no configuration 'none'" in capsys.readouterr().err
