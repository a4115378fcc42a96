"""The simulated board against a stand-in design: memory model, bounds, protocol checks, registers."""

import numpy as np
import pytest
from pumice_sim import Board, BoardError

from . import copier
from .copier import Copier

LIMIT = 5000
OKAY, DECODE_ERROR = 0, 3


@pytest.fixture
def board(copier_library):
    with Board(copier_library, dram_bytes=1 << 20) as board:
        yield board


def start(board, source: int, destination: int, n_words: int, fault: int = copier.FAULT_NONE) -> None:
    for offset, value in (
        (copier.SOURCE, source),
        (copier.DESTINATION, destination),
        (copier.LENGTH, n_words - 1),
        (copier.GO, fault),
    ):
        board.write(offset, value)


def responses(board) -> tuple[int, int]:
    value = board.read(copier.RESPONSES)
    return value & 3, value >> 2


def copy_cycles(library, n_words: int, **timing) -> int:
    """Cycles of one copy."""
    with Board(library, dram_bytes=1 << 20, **timing) as board:
        a, b = board.allocate(4096), board.allocate(4096)
        start(board, a.address, b.address, n_words)
        before = board.cycles
        assert board.wait_interrupt(LIMIT)
        return board.cycles - before


@pytest.mark.parametrize("n_words", [1, 2, 17, 256])
@pytest.mark.parametrize("bandwidth", [1.0, 0.9, 0.3])
def test_copies_exactly(copier_library, n_words, bandwidth):
    rng = np.random.default_rng(n_words)
    with Board(copier_library, dram_bytes=1 << 20, bandwidth=bandwidth) as board:
        a, b = board.allocate(8 * n_words), board.allocate(8 * n_words)
        a.array[:] = rng.integers(0, 256, a.array.size)
        a.flush()
        start(board, a.address, b.address, n_words)
        assert board.wait_interrupt(LIMIT)
        assert responses(board) == (OKAY, OKAY)
        assert not b.array.any(), "the host's copy changed before it was invalidated"
        b.invalidate()
        assert np.array_equal(a.array, b.array)


def test_registers_read_back(board):
    for value in (0, 1, 0xFFFF_FFFF, 0x1234_5678):
        board.write(copier.SOURCE, value)
        assert board.read(copier.SOURCE) == value


def test_latency_counts_twice_in_a_copy(copier_library):
    base = copy_cycles(copier_library, 16, latency=10, bandwidth=1.0)
    assert copy_cycles(copier_library, 16, latency=50, bandwidth=1.0) == base + 2 * 40


def test_bandwidth_sets_beats_per_cycle(copier_library):
    full = copy_cycles(copier_library, 256, latency=10, bandwidth=1.0)
    last_beat = 4 + 4 * 253  # two saved credits: beats in cycles 0, 1, 4, 8, ...
    assert copy_cycles(copier_library, 256, latency=10, bandwidth=0.25) == full + 2 * (last_beat - 255)


def test_runs_exact_cycles(board):
    before = board.cycles
    board.run(1234)
    assert board.cycles == before + 1234


def test_wait_has_a_limit(board):
    before = board.cycles
    assert not board.wait_interrupt(100)
    assert board.cycles == before + 100


@pytest.mark.parametrize(("read_beyond", "write_beyond"), [(8, 0), (0, 8), (0, 0)])
def test_bounds(board, read_beyond, write_beyond):
    n_words = 8
    a, b = board.allocate(8 * n_words), board.allocate(8 * n_words)
    a.array[:] = 7
    a.flush()
    start(board, a.address + read_beyond, b.address + write_beyond, n_words)
    assert board.wait_interrupt(LIMIT)
    assert responses(board) == (DECODE_ERROR if read_beyond else OKAY, DECODE_ERROR if write_beyond else OKAY)
    b.invalidate()
    assert (b.array == (0 if read_beyond or write_beyond else 7)).all()


def test_freed_memory_is_out_of_bounds(board):
    a, b = board.allocate(4096), board.allocate(4096)
    a.free()
    start(board, a.address, b.address, 1)
    assert board.wait_interrupt(LIMIT)
    assert responses(board) == (DECODE_ERROR, OKAY)


@pytest.mark.parametrize(
    ("fault", "message"),
    [(copier.FAULT_WLAST, "wlast"), (copier.FAULT_UNSTABLE, "w changed before it was taken")],
)
def test_protocol_faults_are_found(board, fault, message):
    a, b = board.allocate(4096), board.allocate(4096)
    start(board, a.address, b.address, 8, fault)
    with pytest.raises(BoardError, match=message):
        board.wait_interrupt(LIMIT)


@pytest.mark.parametrize(("offset", "message"), [(4096 - 8, "4 KiB"), (4, "unaligned")])
def test_bad_bursts_are_found(board, offset, message):
    a, b = board.allocate(8192), board.allocate(8192)
    start(board, a.address + offset, b.address, 2)
    with pytest.raises(BoardError, match=message):
        board.wait_interrupt(LIMIT)


def test_silent_register_is_found(board):
    with pytest.raises(BoardError, match="did not answer"):
        board.read(copier.SILENT)


def test_silent_design_times_out(board):
    a, b = board.allocate(4096), board.allocate(4096)
    start(board, a.address, b.address, 8, copier.FAULT_DEAF)
    assert not board.wait_interrupt(LIMIT)


def test_memory_is_given_back_and_joined(board):
    whole = 1 << 20
    buffers = [board.allocate(whole // 4) for _ in range(4)]
    with pytest.raises(BoardError, match="no room"):
        board.allocate(1)
    for i in (0, 2, 1, 3):
        buffers[i].free()
        buffers[i].free()
    board.allocate(whole).free()


def test_closed_board_says_so(board):
    board.close()
    board.close()
    with pytest.raises(BoardError, match="closed"):
        board.read(0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_boards_are_independent(copier_library, order):
    boards = [Board(copier_library, dram_bytes=1 << 20) for _ in range(2)]
    for i, board in enumerate(boards):
        board.run(100 * (i + 1))
        board.write(copier.SOURCE, i)
    assert [board.read(copier.SOURCE) for board in boards] == [0, 1]
    boards[order[0]].close()
    assert boards[order[1]].read(copier.SOURCE) == order[1]
    boards[order[1]].close()


@pytest.mark.parametrize("wrong", [{"bandwidth": 0}, {"bandwidth": 1.1}, {"latency": 0}, {"dram_bytes": 100}])
def test_refuses_bad_parameters(copier_library, wrong):
    with pytest.raises(ValueError, match="must be"):
        Board(copier_library, **wrong)


def test_trace_is_written(tmp_path):
    from pumice_sim.build import build_library
    from pumice_sim.convert import board_verilog

    library = build_library("copier", board_verilog(Copier(), trace=True), trace="vcd")
    with Board(library, dram_bytes=1 << 20, trace=tmp_path / "run.vcd") as board:
        board.run(100)
    assert "memory__araddr" in (tmp_path / "run.vcd").read_text()


def test_counts_traffic(copier_library):
    with Board(copier_library, dram_bytes=1 << 20, latency=40) as board:
        a, b = board.allocate(8 * 17), board.allocate(8 * 17)
        assert board.traffic == (0, 0, 0, 0)
        before = board.cycles
        start(board, a.address, b.address, 17)
        assert board.wait_interrupt(LIMIT)
        traffic = board.traffic
        assert (traffic.read_beats, traffic.write_beats) == (17, 17)
        assert before + 40 < traffic.first_read < board.cycles
        assert traffic.last_read - traffic.first_read >= 16
        board.clear_traffic()
        assert board.traffic == (0, 0, 0, 0)
