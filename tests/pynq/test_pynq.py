"""The PYNQ back end in every environment: PYNQ's own code, the simulated board, our driver."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pumice.cli.digits import PIXEL_MAX, load_split
from pumice.spec.config import TINY
from pumice_sim import build_board

from .environments import PINS, NoPythonError, make_environment

TESTS = Path(__file__).parent / "on_pynq.py"
N_TESTS = 26
RUNS = (("3.0.1", "KV260"), ("3.1.2", "PYNQ-Z2"), ("4.0.0", "ZCU104"))  # newest that each board's image has


def test_every_environment_is_used():
    assert {version for version, _ in RUNS} == set(PINS)


@pytest.mark.parametrize(("version", "board"), RUNS)
def test_in_its_environment(version, board):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    environment |= {"PUMICE_BOARD": board, "PUMICE_LIBRARY": str(build_board(TINY))}
    try:
        python = make_environment(version)
    except NoPythonError as error:
        pytest.skip(str(error))
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(rf"^{N_TESTS} passed", result.stdout, re.MULTILINE), result.stdout


def test_digits_of_the_notebook_are_held_out_ones():
    split = load_split()
    digits = np.load(Path(__file__).parents[2] / "host" / "pumice" / "notebooks" / "digits.npz")
    n = len(digits["labels"])
    assert np.array_equal(digits["pixels"][..., None] / np.float32(PIXEL_MAX), split.test_images[:n])
    assert np.array_equal(digits["labels"], split.test_labels[:n])
