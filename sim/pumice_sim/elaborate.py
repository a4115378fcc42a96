"""Prints the system's Verilog: ``python -m pumice_sim.elaborate '<EngineConfig as JSON>'``.

`pumice_sim.build` runs it in a process of its own, so that the Verilog belongs to the sources as they are now, not as
they were when some long-lived process imported them.
"""

import json
import sys

from amaranth.back import verilog
from pumice.spec.config import EngineConfig
from pumice_hdl.top import System

from .firmware import build_firmware
from .verilate import TOP


def main() -> None:
    """Elaborate the configuration that the first argument gives."""
    config = EngineConfig(**json.loads(sys.argv[1]))
    system = System(config, build_firmware(config.cpu_ram_bytes))
    sys.stdout.write(verilog.convert(system, name=TOP, emit_src=False))


if __name__ == "__main__":
    main()
