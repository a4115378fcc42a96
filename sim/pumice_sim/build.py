"""Builds simulated boards and keeps them, by content, below ``.cache/board``.

Two keys find a finished library. The first is made of the sources (gateware, spec, firmware, this package), so a second
run elaborates nothing; the second is made of the generated Verilog, so a change that leaves the Verilog as it was
verilates nothing. Builds happen in a temporary folder that is renamed when complete: concurrent builders do not meet.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pumice.spec
from pumice.spec.config import EngineConfig

from .verilate import BOARD_SOURCE, TOP, VERILATOR_FLAGS, tool_versions, verilate

ROOT = Path(__file__).parents[2]
LIBRARY = "board.so"


def cache_folder() -> Path:
    """Where finished boards are kept: ``PUMICE_CACHE``, or ``.cache`` in the project."""
    return Path(os.environ.get("PUMICE_CACHE", ROOT / ".cache")) / "board"


def build_board(config: EngineConfig, *, trace: bool = False) -> Path:
    """Shared library of the whole system in ``config`` on the simulated board; built when it is not there yet.

    The first build of a configuration takes a minute or more, later calls a few milliseconds.
    """
    import pumice_hdl

    folders = [Path(pumice_hdl.__file__).parent, Path(pumice.spec.__file__).parent, Path(__file__).parent]
    sources = [f for folder in [*folders, ROOT / "firmware"] for f in sorted(folder.rglob("*")) if f.is_file()]
    contents = [f.read_bytes() for f in sources if f.suffix != ".pyc"]
    key = cache_folder() / "keys" / _digest([repr((config, trace, tool_versions())).encode(), *contents])
    if key.exists() and (library := cache_folder() / key.read_text() / LIBRARY).exists():
        return library

    from amaranth.back import verilog
    from pumice_hdl.top import System

    from .firmware import build_firmware

    system = System(config, build_firmware())
    library = build_library(config.name, verilog.convert(system, name=TOP, emit_src=False), trace=trace)
    _write_once(key, library.parent.name)
    return library


def build_library(name: str, verilog: str, sources: tuple[Path, ...] = (), *, trace: bool = False) -> Path:
    """Shared library of any design with the ports that `verilate` asks for; built when it is not there yet."""
    options = repr((VERILATOR_FLAGS, trace, tool_versions())).encode()
    digest = _digest([verilog.encode(), options, BOARD_SOURCE.read_bytes(), *(s.read_bytes() for s in sources)])
    folder = cache_folder() / f"{name}-{digest}"
    if not (folder / LIBRARY).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder.parent) as temporary:
            build = Path(temporary) / "build"
            build.mkdir()
            (build / f"{TOP}.v").write_text(verilog)
            verilate(build / f"{TOP}.v", sources, build / LIBRARY, trace=trace)
            shutil.rmtree(build / "obj")
            if not (folder / LIBRARY).exists():
                _rename(build, folder)
    return folder / LIBRARY


def _rename(build: Path, folder: Path) -> None:
    try:
        build.rename(folder)
    except OSError:  # another builder was first
        if not (folder / LIBRARY).exists():
            raise


def _write_once(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).rename(path)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]
