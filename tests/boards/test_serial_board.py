"""The pin-level ULX3S, simulated, through pyserial and a pseudo-terminal: the digits, a bad line, a dead one."""

import logging
from pathlib import Path

import numpy as np
import pytest
from pumice import golden
from pumice.device import open_device
from pumice.device.serial import SerialHardware, SerialLink
from pumice.errors import DeviceError, DeviceTimeoutError
from pumice.network import load
from pumice.spec import registers
from pumice.spec.config import TINY, ULX3S
from pumice.spec.link import MAX_WORDS, SPACE_MEMORY, SPACE_REGISTERS
from pumice_hdl.boards.ulx3s import MEMORY_BYTES
from pumice_sim.serial_board import SerialBoard, build_serial_board

from .line import BadLine

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.tflite"
SEED = 7
TIMEOUT_S = 1.0  # a frame takes 0.2 s on a slow machine

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def config(request):
    return getattr(request, "param", TINY)


@pytest.fixture(scope="module")
def library(config):
    return build_serial_board(config)


@pytest.fixture
def board(library):
    with SerialBoard(library) as board:
        yield board


@pytest.fixture(scope="module")
def digits():
    return load(DIGITS)


def samples(graph, n: int) -> np.ndarray:
    log.info("seed %d", SEED)
    return np.random.default_rng(SEED).integers(-128, 128, (n, *graph.input_shape)).astype(np.int8)


def check(network, graph, xs: np.ndarray) -> None:
    for x in xs:
        result = network.run(x)
        expected = golden.run(graph, x.reshape(graph.tensors[graph.input].shape))
        assert np.array_equal(result.output_raw.ravel(), expected.ravel())


@pytest.mark.parametrize(
    "config", [TINY, pytest.param(ULX3S, marks=pytest.mark.long)], ids=lambda c: c.name, indirect=True
)
def test_digits_equal_the_golden_model(board, digits, config):
    with open_device("serial", port=board.port, config=config, timeout_s=TIMEOUT_S) as device:
        network = device.load(digits)
        check(network, digits.graph, samples(digits.graph, 2))
        assert device.engine.hardware.link.n_retries == 0
        assert board.lamps >> 1 & 3 == 0  # neither busy nor in fault


def test_digits_over_a_bad_line(board, digits):
    board.to_board = board.to_host = line = BadLine(SEED, gap=1000)
    with open_device("serial", port=board.port, config=TINY, timeout_s=TIMEOUT_S / 4, attempts=20) as device:
        check(device.load(digits), digits.graph, samples(digits.graph, 1))
        retries = device.engine.hardware.link.n_retries
    log.info("%d faults, %d requests sent again", line.n_faults, retries)
    assert line.n_faults >= 6  # each kind twice
    assert retries > 0


@pytest.mark.parametrize("n_words", [1, 2, 3, MAX_WORDS - 1, MAX_WORDS])
def test_memory_holds_what_is_written(board, n_words):
    rng = np.random.default_rng(n_words)
    link = SerialLink(board.port, timeout_s=TIMEOUT_S)
    assert link.memory_bytes == MEMORY_BYTES
    words = [int(w) for w in rng.choice([0xC0C0C0C0, 0xDBDBDBDB, 0xDCDDC0DB, *rng.integers(0, 1 << 32, 9)], n_words)]
    for address in (4, MEMORY_BYTES - 4 * n_words):
        link.write(SPACE_MEMORY, address, words)
        assert link.read(SPACE_MEMORY, address, n_words) == words
    link.write(SPACE_MEMORY, 0, [1, 2, 3, 4])
    link.write(SPACE_MEMORY, 4, [5])  # half a bus word
    assert link.read(SPACE_MEMORY, 0, 4) == [1, 5, 3, 4]
    link.close()


def test_consecutive_registers(board):
    link = SerialLink(board.port, timeout_s=TIMEOUT_S)
    assert link.read(SPACE_REGISTERS, 0, 3)[::2] == [registers.MAGIC, TINY.config_id]
    link.close()


def test_a_dead_line_is_a_timeout(board, digits):
    device = open_device("serial", port=board.port, config=TINY, timeout_s=TIMEOUT_S, attempts=3)
    network = device.load(digits)
    board.to_board = lambda data: b""
    with pytest.raises(DeviceTimeoutError, match=f"no answer from {board.port} in 3 attempts"):
        network.run(samples(digits.graph, 1)[0])
    with pytest.raises(DeviceTimeoutError, match="is the board on"):
        open_device("serial", port=board.port, config=TINY, timeout_s=0.1, attempts=2)
    device.close()


def test_a_port_that_is_not_there():
    with pytest.raises(DeviceError, match="cannot open serial port /dev/nowhere"):
        open_device("serial", port="/dev/nowhere", config=TINY)


@pytest.mark.parametrize(("n_polls", "seen"), [(1, True), (5, True), (None, False)])
def test_waiting_ends_with_the_interrupt_or_the_limit(n_polls, seen):
    class Link:
        n_reads = 0

        def read(self, space, address, n_words):
            self.n_reads += 1
            assert (space, address, n_words) == (SPACE_REGISTERS, registers.find("host", "interrupt").offset, 1)
            return [int(self.n_reads == n_polls)]

    assert SerialHardware(Link(), clock_mhz=1).wait_interrupt(200_000) is seen


def test_a_port_must_be_named():
    with pytest.raises(DeviceError, match="needs its port"):
        open_device("serial", config=TINY)


def test_memory_that_is_too_small(board):
    with open_device("serial", port=board.port, config=TINY, timeout_s=TIMEOUT_S) as device:
        hardware = device.engine.hardware
        first, second = hardware.allocate(MEMORY_BYTES - 16), hardware.allocate(9)
        assert (first.address, second.address) == (0, MEMORY_BYTES - 16)
        with pytest.raises(DeviceError, match="has no room for 1 more"):
            hardware.allocate(1)
        first.free()
        first.free()
        assert hardware.allocate(8).address == 0
