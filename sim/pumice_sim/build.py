"""Builds simulated boards and keeps them, by content, below ``.cache/board``.

Two keys find a finished library. The first is made of the sources (gateware, spec, firmware, this package), so a second
run elaborates nothing; the second is made of the generated Verilog, so a change that leaves the Verilog as it was
verilates nothing. Builds happen in a temporary folder that is renamed when complete: concurrent builders do not meet.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import pumice.spec
from pumice.build import write_whole
from pumice.spec.config import EngineConfig

from .verilate import BOARD_SOURCE, LEARN, SIGNED_HEADER, TOP, VERILATOR_FLAGS, WATCH, tool_versions, verilate

ROOT = Path(__file__).parents[2]
LIBRARY = "board.so"


def cache_folder() -> Path:
    """Where finished boards are kept: ``PUMICE_CACHE``, or ``.cache`` in the project."""
    return Path(os.environ.get("PUMICE_CACHE", ROOT / ".cache")) / "board"


def build_board(config: EngineConfig, *, trace: str | None = None) -> Path:
    """Shared library of the whole system in ``config`` on the simulated board; built when it is not there yet.

    The first build of a configuration takes a minute or more, later calls a few milliseconds.

    Parameters
    ----------
    trace : str, optional
        A kind of `pumice_sim.verilate.TRACES` that the board can write.

    Raises
    ------
    ImportError
        What building needs is not installed.
    RuntimeError
        A tool failed; the message holds what it said.
    """
    key = _source_key(config, trace)
    if key.exists() and (library := cache_folder() / key.read_text() / LIBRARY).exists():
        return library

    from pumice_hdl.system.soft_core import verilog_source

    settings = json.dumps(asdict(config))
    verilog = _run_module("elaborate", settings, *(["--trace"] if trace else []))
    # What is traced spends its time in the tracer.
    exercise = None if trace else lambda library: _run_module("exercise", settings, library)
    library = build_library(config.name, verilog, (verilog_source(),), trace=trace, exercise=exercise)
    if key == _source_key(config, trace):  # else the sources have changed meanwhile
        write_whole(key, library.parent.name)
    return library


def build_library(
    name: str, verilog: str, sources: tuple[Path, ...] = (), *, trace: str | None = None, harness: Path = BOARD_SOURCE,
    exercise: Callable[[Path], object] | None = None,
) -> Path:  # fmt: skip
    """Shared library of any design with the ports that the harness asks for; built when it is not there yet."""
    profile = (WATCH, LEARN) if exercise else ()
    options = repr((VERILATOR_FLAGS, profile, trace, tool_versions())).encode()
    files = (harness, SIGNED_HEADER, *sources)
    digest = _digest([verilog.encode(), options, *(file.read_bytes() for file in files)])
    folder = cache_folder() / f"{name}-{digest}"
    if not (folder / LIBRARY).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder.parent) as temporary:
            build = Path(temporary) / "build"
            build.mkdir()
            (build / f"{TOP}.v").write_text(verilog)
            verilate(build / f"{TOP}.v", sources, build / LIBRARY, trace=trace, harness=harness, exercise=exercise)
            shutil.rmtree(build / "obj")
            _rename(build, folder)
    return folder / LIBRARY


def _run_module(name: str, *arguments) -> str:
    """What a module of this package prints. RuntimeError: it failed; the message holds what it said."""
    command = [sys.executable, "-m", f"pumice_sim.{name}", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command[1:3])} failed:\n{result.stderr}")
    return result.stdout


def _source_key(config: EngineConfig, trace: str | None) -> Path:
    """Where the name of the folder is kept that was built from the present sources."""
    import pumice_hdl

    folders = [Path(pumice_hdl.__path__[0]), Path(pumice.spec.__path__[0]), Path(__file__).parent]
    sources = [f for folder in [*folders, ROOT / "firmware"] for f in sorted(folder.rglob("*")) if f.is_file()]
    contents = [f.read_bytes() for f in sources if f.suffix != ".pyc"]
    return cache_folder() / "keys" / _digest([repr((config, trace, tool_versions())).encode(), *contents])


def _rename(build: Path, folder: Path) -> None:
    """Put a finished build in its place, unless another builder was first."""
    try:
        build.rename(folder)
    except OSError:
        if not (folder / LIBRARY).exists():
            raise


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]
