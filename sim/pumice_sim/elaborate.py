"""Prints the system's Verilog: ``python -m pumice_sim.elaborate '<EngineConfig as JSON>' [--trace]``.

`pumice_sim.build` runs it in a process of its own, so that the Verilog belongs to the sources as they are now, not as
they were when some long-lived process imported them.
"""

import json
import sys

from pumice.spec.config import EngineConfig
from pumice_hdl.top import System

from .convert import board_verilog
from .firmware import build_firmware


def main() -> None:
    """Elaborate the configuration that the first argument gives."""
    config = EngineConfig(**json.loads(sys.argv[1]))
    system = System(config, build_firmware(config.cpu_ram_bytes))
    sys.stdout.write(board_verilog(system, trace="--trace" in sys.argv[2:]))


if __name__ == "__main__":
    main()
