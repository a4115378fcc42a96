"""The stand-in design, verilated once for all tests of the board."""

import pytest
from amaranth.back import verilog
from pumice_sim.build import build_library

from .copier import Copier


@pytest.fixture(scope="session")
def copier_library():
    return build_library("copier", verilog.convert(Copier(), name="top", emit_src=False))
