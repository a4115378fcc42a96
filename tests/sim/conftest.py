"""The stand-in design, verilated once for all tests of the board."""

import pytest
from pumice_sim.build import build_library
from pumice_sim.convert import board_verilog

from .copier import Copier


@pytest.fixture(scope="session")
def copier_library():
    return build_library("copier", board_verilog(Copier()))
