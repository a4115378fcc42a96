"""Tests a device from the host's side: ``python -m pumice.selftest --device pynq``.

Registers, shared memory, interrupt, and one network, bit for bit against the golden model, again and again: started by
the host each time, and in throughput mode.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from . import golden
from .device import Device, open_device
from .device.driver import EngineDriver
from .device.protocol import Hardware
from .errors import DeviceError, PumiceError
from .network import Model, Network, load
from .report import Result
from .spec import registers
from .spec.descriptor import BUFFERS

MODEL = Path(__file__).parent / "notebooks" / "digits.tflite"
DEVICES = ("sim", "pynq")
N_REPEATS = 1000
N_SAMPLES = 8
BUFFER_BYTES = (16, 4095, 1 << 16)
PATTERNS = (0x0000_0000, 0xFFFF_FFFF, 0x5555_5555, 0xAAAA_AAAA)
INTERRUPT_LIMIT, QUIET_CYCLES = 10_000_000, 10_000


def check_registers(hardware: Hardware) -> str:
    """Writable registers hold patterns, each register its own. DeviceError: one does not."""
    names = {f"{buffer}_{part}" for buffer in BUFFERS for part in ("base_low", "base_high", "bytes")}
    fields = [register for register in registers.block("host") if register.reg in names]
    for pattern in PATTERNS:
        values = {field: (pattern ^ field.offset) & ((1 << field.bits) - 1) for field in fields}
        for field, value in values.items():
            hardware.write(field.offset, value)
        for field, value in values.items():
            found = hardware.read(field.offset)
            if found != value:
                raise DeviceError(f"register {field.reg} reads {found:#010x} after {value:#010x} was written")
    return f"{len(fields)} registers hold {len(PATTERNS)} patterns"


def check_memory(hardware: Hardware) -> str:
    """Buffers have addresses and memory of their own. DeviceError: they do not."""
    rng = np.random.default_rng(0)
    buffers = [hardware.allocate(n_bytes) for n_bytes in BUFFER_BYTES]
    try:
        contents = [rng.integers(0, 256, n_bytes).astype(np.uint8) for n_bytes in BUFFER_BYTES]
        for buffer, content in zip(buffers, contents, strict=True):
            if buffer.address % 8:
                raise DeviceError(f"a buffer is at {buffer.address:#x}, not at a multiple of 8")
            buffer.array[:] = content
            buffer.flush()
        for buffer, content in zip(buffers, contents, strict=True):
            buffer.invalidate()
            if not np.array_equal(buffer.array, content):
                raise DeviceError(f"the buffer at {buffer.address:#x} does not hold what was written to it")
    finally:
        for buffer in buffers:
            buffer.free()
    return f"{len(BUFFER_BYTES)} buffers hold what was written to them"


def check_interrupt(hardware: Hardware) -> str:
    """A refused command (run without an image) raises the interrupt, clearing lowers it. DeviceError: not so."""
    _write(hardware, "doorbell", registers.COMMAND_RUN)
    if not hardware.wait_interrupt(INTERRUPT_LIMIT):
        raise DeviceError("a finished command gave no interrupt")
    code = _read(hardware, "fault", "code")
    if code != registers.FAULT_CODES["not_loaded"]:
        raise DeviceError(f"running without an image gave fault code {code}, not {registers.FAULT_CODES['not_loaded']}")
    _write(hardware, "interrupt_clear", 1)
    if hardware.wait_interrupt(QUIET_CYCLES):
        raise DeviceError("the interrupt stays after it was cleared")
    return "rises at the end of a command, falls when cleared"


def check_network(device: Device, n_repeats: int) -> str:
    """``n_repeats`` inferences on changing samples equal the golden model. DeviceError: one does not."""
    network, samples, expected = _network(device, n_repeats)
    for i in range(n_repeats):
        _compare(i, network.run(samples[i % len(samples)]), expected[i % len(samples)])
    return f"{n_repeats} inferences equal the golden model"


def check_throughput(device: Device, n_repeats: int) -> str:
    """The same without the host in between, transfers overlapping with inferences. DeviceError: one does not."""
    network, samples, expected = _network(device, n_repeats)
    for i, result in enumerate(network.run_many(samples[i % len(samples)] for i in range(n_repeats))):
        _compare(i, result, expected[i % len(samples)])
    return f"{n_repeats} inferences in a row equal the golden model"


def _network(device: Device, n_repeats: int) -> tuple[Network, np.ndarray, list[np.ndarray]]:
    """The test's network, samples for it, and their outputs by the golden model."""
    model = load(MODEL)
    if not isinstance(model, Model):
        raise DeviceError(f"{MODEL} is an image, not a network")
    graph = model.graph
    shape = graph.tensors[graph.input].shape
    samples = np.random.default_rng(1).integers(-128, 128, (min(N_SAMPLES, n_repeats), *shape)).astype(np.int8)
    expected = golden.run_batch(graph, samples).reshape(len(samples), -1)
    return device.load(model), samples, list(expected)


def _compare(i: int, result: Result, expected: np.ndarray) -> None:
    found = result.output_raw.ravel()
    if not np.array_equal(found, expected):
        raise DeviceError(f"inference {i} gave {found.tolist()}, not {expected.tolist()}")


def run_checks(device: Device, n_repeats: int = N_REPEATS) -> Iterable[tuple[str, str]]:
    """Run one check after the other; yields the name of each that passed and what it found.

    Raises
    ------
    DeviceError
        A check failed, or the device has no hardware.
    """
    if not isinstance(device.engine, EngineDriver):
        raise DeviceError(f"device {device.name!r} has no hardware to test")
    hardware = device.engine.hardware
    checks: dict[str, Callable[[], str]] = {
        "registers": lambda: check_registers(hardware),
        "memory": lambda: check_memory(hardware),
        "interrupt": lambda: check_interrupt(hardware),
        "network": lambda: check_network(device, n_repeats),
        "throughput": lambda: check_throughput(device, n_repeats),
    }
    for name, check in checks.items():
        try:
            yield name, check()
        except DeviceError as error:
            raise DeviceError(f"{name}: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Test a device and say what was found; the exit status is 0 where everything passed."""
    parser = argparse.ArgumentParser(prog="python -m pumice.selftest", description="Test a device.")
    parser.add_argument("--device", choices=DEVICES, default="sim")
    parser.add_argument("--config", help="engine configuration; default: as pumice.open_device chooses")
    parser.add_argument("--bitstream", help="for pynq; default: the package's own for this board")
    parser.add_argument("--wait", help="for pynq: interrupt or polling")
    parser.add_argument("--timeout-s", type=float, help="for pynq: longest time of a command")
    parser.add_argument("--repeats", type=int, default=N_REPEATS, help=f"inferences; default {N_REPEATS}")
    options = vars(parser.parse_args(arguments))
    name, n_repeats = options.pop("device"), options.pop("repeats")
    if n_repeats < 1:
        parser.error(f"--repeats must be at least 1, not {n_repeats}")
    given = {option: value for option, value in options.items() if value is not None}
    if name != "pynq" and given.keys() & {"bitstream", "wait", "timeout_s"}:
        parser.error("--bitstream, --wait and --timeout-s are for pynq")
    try:
        with open_device(name, **given) as device:
            print(f"{name}: {device.config.name} at {device.config.clock_mhz:g} MHz ({device.kind})")
            for check, finding in run_checks(device, n_repeats):
                print(f"{check}: {finding}")
    except PumiceError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0


def _read(hardware: Hardware, register: str, field: str) -> int:
    r = registers.find("host", register, field)
    return hardware.read(r.offset) >> r.lsb & ((1 << r.bits) - 1)


def _write(hardware: Hardware, register: str, value: int) -> None:
    hardware.write(registers.find("host", register).offset, value)


if __name__ == "__main__":
    sys.exit(main())
