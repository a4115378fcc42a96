"""Builds the soft core's firmware with the C cross compiler of the ``ziglang`` package."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pumice.spec.registers import COMMANDS_OFFSET, FIRMWARE_BYTES, TRAP_ADDRESS

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "firmware"
CACHE = ROOT / ".cache" / "firmware"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
# PicoRV32 is RV32I with traps of its own (``firmware/start.S``). Link-time optimisation inlines the schedule's calls.
TARGET = ["-target", "riscv32-freestanding-none", "-mcpu=generic_rv32"]
FLAGS = [*TARGET, "-std=c11", "-Os", "-flto", "-ffreestanding", "-nostdlib", "-fno-sanitize=all", *WARNINGS]


class FirmwareError(RuntimeError):
    """The compiler or linker refused the firmware; the message is its output."""


def zig(*arguments: str | Path) -> None:
    """Run the ``zig`` of this Python environment in the repository's root; its caches stay in the repository."""
    cache = str(ROOT / ".cache" / "zig")
    result = subprocess.run(
        [sys.executable, "-m", "ziglang", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise FirmwareError(result.stderr)


def build_firmware(ram_bytes: int, *, poll_limit: int | None = None) -> bytes:
    """Firmware for a soft core with ``ram_bytes`` of RAM (`EngineConfig.cpu_ram_bytes`), as it lies from address 0.

    Parameters
    ----------
    ram_bytes : int
        Where the command area ends.
    poll_limit : int, optional
        Replaces the limit of every poll (``firmware/config.h``); for tests.

    Returns
    -------
    bytes
        Code and constants, a multiple of 8 bytes. What follows them is cleared by the firmware.

    Raises
    ------
    ValueError
        If the RAM has no room for a command.
    FirmwareError
        If the compiler refuses the sources.
    """
    if ram_bytes <= COMMANDS_OFFSET:
        raise ValueError(f"ram_bytes must be above {COMMANDS_OFFSET}, not {ram_bytes}")
    defines = [
        f"-DPUMICE_RAM_BYTES={ram_bytes}u",
        f"-DPUMICE_STACK_TOP={FIRMWARE_BYTES}",
        f"-DPUMICE_TRAP_ADDRESS={TRAP_ADDRESS}",
    ]
    if poll_limit is not None:
        defines.append(f"-DPUMICE_POLL_LIMIT={poll_limit}u")
    files = sorted(path for path in SOURCES.rglob("*") if path.suffix in (".c", ".h", ".S", ".ld"))
    digest = hashlib.sha256(repr([FLAGS, defines, [(p.name, p.read_text()) for p in files]]).encode()).hexdigest()
    image = CACHE / f"{digest[:16]}.bin"
    if not image.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            elf, binary = Path(folder) / "firmware.elf", Path(folder) / "firmware.bin"
            sources = [path for path in files if path.suffix in (".c", ".S")]
            zig("cc", *FLAGS, *defines, f"-Wl,-T,{SOURCES / 'link.ld'}", "-Wl,--gc-sections", "-o", elf, *sources)
            zig("objcopy", "-O", "binary", elf, binary)
            content = binary.read_bytes()
            binary.write_bytes(content + bytes(-len(content) % 8))
            binary.replace(image)  # atomic, so that parallel builds see all of it or nothing
    return image.read_bytes()
