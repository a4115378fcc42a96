"""The soft core runs its firmware with the command walker, against a model of mailbox, DMA and engine."""

import gc
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import TINY
from pumice.spec.registers import FIRMWARE_BYTES
from pumice_hdl.system.buses import LOG_WRITE_LAYOUT, RamPort, RegisterBus
from pumice_hdl.system.command_walker import LAYER_WORDS, TRANSFER_WORDS, CommandWalker
from pumice_hdl.system.soft_core import SoftCore, verilog_source
from pumice_sim.firmware import TARGET, build_firmware, zig

from tests.hdl.harness import simulate

POLL_LIMIT = 60  # so that the firmware gives up within the test


class Control(wiring.Component):
    """Soft core and command walker, joined as in `pumice_hdl.top`; the log is not copied."""

    def __init__(self, firmware: bytes):
        self.firmware = firmware
        super().__init__(
            {
                "ram": In(RamPort()),
                "log": In(stream.Signature(LOG_WRITE_LAYOUT)),
                "mailbox": Out(RegisterBus()),
                "dma": Out(RegisterBus()),
                "engine": Out(RegisterBus()),
                "layers": Out(stream.Signature(LAYER_WORDS)),
                "transfers": Out(stream.Signature(TRANSFER_WORDS)),
                "layers_completed": In(16),
                "transfers_completed": In(16),
                "doorbell": In(1),
                "serving": In(1),
                "begun": Out(1),
                "finish": Out(1),
            }
        )

    def elaborate(self, platform):
        """Join them."""
        m = Module()
        m.submodules.soft_core = soft_core = SoftCore(TINY, self.firmware)
        m.submodules.walker = walker = CommandWalker()
        wiring.connect(m, soft_core.walker, walker.registers)
        wiring.connect(m, walker.ram, soft_core.commands)
        for inner, names in (
            (soft_core, ("ram", "log", "mailbox", "dma", "engine")),
            (walker, ("layers", "transfers")),
        ):
            for name in names:
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(inner, name))
        m.d.comb += [
            walker.layers_completed.eq(self.layers_completed),
            walker.transfers_completed.eq(self.transfers_completed),
            walker.doorbell.eq(self.doorbell),
            walker.serving.eq(self.serving),
            walker.n_copied.eq(self.layers_completed),
            walker.log_idle.eq(1),
            self.begun.eq(walker.begun),
            self.finish.eq(walker.finish),
        ]
        return m


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
    env = {"PUMICE_PROGRAM": program.hex()}
    simulate(Control(firmware), "soft_core_tb", n_tests=12, env=env, sources=(verilog_source(),))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_refuses_long_firmware():
    with pytest.raises(ValueError, match="must not exceed"):
        SoftCore(TINY, bytes(FIRMWARE_BYTES + 1))
    gc.collect()
