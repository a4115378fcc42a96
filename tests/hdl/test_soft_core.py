"""The soft core runs its firmware against a model of mailbox, DMA and engine."""

import gc
from pathlib import Path

import pytest
from pumice.spec.config import TINY
from pumice.spec.registers import FIRMWARE_BYTES
from pumice_hdl.system.soft_core import SoftCore, verilog_source
from pumice_sim.firmware import TARGET, build_firmware, zig

from tests.hdl.harness import simulate

POLL_LIMIT = 500  # so that the firmware gives up within the test


def assemble(source: Path, folder: Path) -> bytes:
    """Machine code of a position-independent assembly file, a multiple of 8 bytes."""
    compiled, binary = folder / "program.o", folder / "program.bin"
    zig("cc", *TARGET, "-c", "-o", compiled, source)
    zig("objcopy", "-O", "binary", compiled, binary)
    code = binary.read_bytes()
    return code + bytes(-len(code) % 8)


def test_soft_core(tmp_path):
    firmware = build_firmware(TINY.cpu_ram_bytes, poll_limit=POLL_LIMIT)
    program = assemble(Path(__file__).parent / "tb" / "soft_core_accesses.S", tmp_path)
    env = {"PUMICE_FIRMWARE_BYTES": str(len(firmware)), "PUMICE_PROGRAM": program.hex()}
    simulate(SoftCore(TINY, firmware), "soft_core_tb", n_tests=12, env=env, sources=(verilog_source(),))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_refuses_long_firmware():
    with pytest.raises(ValueError, match="must not exceed"):
        SoftCore(TINY, bytes(FIRMWARE_BYTES + 1))
    gc.collect()
