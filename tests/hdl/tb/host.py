"""The host's side of the system: registers by name over AXI4-Lite."""

import cocotb
import numpy as np
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp
from pumice.spec import registers


def stalls(rng, p: float):
    """Endless pauses with probability ``p``."""
    while True:
        yield rng.random() < p


class Host:
    """Registers of the host's block by name, through an AXI4-Lite master that may stall each of its channels."""

    def __init__(self, dut, p_stall: float = 0.0):
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "host_"), dut.clk, dut.rst)
        writes, reads = self.master.write_if, self.master.read_if
        channels = (writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel)
        for channel, rng in zip(channels, np.random.default_rng(cocotb.RANDOM_SEED).spawn(5), strict=True):
            if p_stall:
                channel.set_pause_generator(stalls(rng, p_stall))

    async def write(self, reg: str, value: int, name: str | None = None) -> None:
        """Write a field, 0 to the register's others."""
        field = registers.find("host", reg, name)
        answer = await self.master.write(field.offset, (value << field.lsb).to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY

    async def read(self, reg: str, name: str | None = None) -> int:
        """Read a field (the register's first when none is named)."""
        field = registers.find("host", reg, name)
        return await self.read_word(field.offset) >> field.lsb & ((1 << field.bits) - 1)

    async def read_word(self, offset: int) -> int:
        """Read one 32-bit register."""
        answer = await self.master.read(offset, 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")
