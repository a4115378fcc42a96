"""Runs the self-test on a simulated board: ``python -m pumice_sim.exercise '<EngineConfig as JSON>' LIBRARY``.

`pumice_sim.build` runs it in a process of its own: a library that was compiled to watch its branches writes down what
it saw when the process ends.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

from pumice.device import Device
from pumice.device.driver import EngineDriver
from pumice.errors import CompileError
from pumice.selftest import run_checks
from pumice.spec.config import EngineConfig

from .board import Board

N_REPEATS = 20


def main() -> None:
    """Exercise the library that the second argument names."""
    config = EngineConfig(**json.loads(sys.argv[1]))
    device = Device("sim", "simulated", config, EngineDriver(Board(Path(sys.argv[2])), config))
    with device, suppress(CompileError):  # a chip too small for the network has done the other checks by then
        for _ in run_checks(device, N_REPEATS):
            pass


if __name__ == "__main__":
    main()
