"""Verilog that Vivado reads for a board.

``python -m pumice.vivado PYNQ-Z2 FOLDER`` writes the Verilog; boards/<name>/build.tcl calls it.
"""

import argparse
from pathlib import Path

from .spec.boards import BOARDS, PynqBoard
from .spec.config import CONFIGS, EngineConfig
from .tools import BuildError

TOP, SOFT_CORE = "pumice_engine", "soft_core.v"


def sources(config: EngineConfig) -> dict[str, str]:
    """Everything that Vivado reads, by file name; the same for the same sources."""
    try:
        from amaranth.back import verilog
        from pumice_hdl.boards.zynq import PumiceEngine
        from pumice_hdl.system.soft_core import verilog_source
        from pumice_sim.firmware import build_firmware
    except ImportError as error:
        raise BuildError(f"building needs more packages ({error}): pip install 'pumice[sim]'") from error
    engine = PumiceEngine(config, build_firmware(config.cpu_ram_bytes))
    return {
        f"{TOP}.v": verilog.convert(engine, name=TOP, emit_src=False),
        SOFT_CORE: verilog_source().read_text(),
    }


def write_sources(board: PynqBoard, folder: Path) -> None:
    """Write the Verilog of a board's engine into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sources(CONFIGS[board.config]).items():
        (folder / name).write_text(text)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m pumice.vivado", description="Verilog of a board's engine.")
    parser.add_argument("board", choices=BOARDS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    write_sources(BOARDS[arguments.board], arguments.folder)


if __name__ == "__main__":
    main()
