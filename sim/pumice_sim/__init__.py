"""The simulated board: the verilated system as an in-process library."""

from .board import Board, BoardBuffer, BoardError
from .build import build_board
from .verilate import TRACES

__all__ = ["TRACES", "Board", "BoardBuffer", "BoardError", "build_board"]
