"""Register access in cocotb benches, by the names of `pumice.spec.registers`."""

from cocotb.triggers import FallingEdge, RisingEdge
from pumice.spec import registers


class RegisterDriver:
    """Initiator of the `RegisterBus` ``<name>__*`` of a device: reads and writes registers of a block by name.

    An access happens at the next rising edge and returns on the falling edge after it.
    """

    def __init__(self, dut, name: str, block: str):
        self._clk, self._block = dut.clk, block
        self._address, self._write_data, self._write, self._read_data = (
            getattr(dut, f"{name}__{signal}") for signal in ("address", "write_data", "write", "read_data")
        )
        self._write.value = 0

    async def _cycle(self) -> None:
        await RisingEdge(self._clk)
        await FallingEdge(self._clk)

    async def write_word(self, offset: int, word: int) -> None:
        """Write one 32-bit register."""
        self._address.value, self._write_data.value, self._write.value = offset, word, 1
        await self._cycle()
        self._write.value = 0

    async def read_word(self, offset: int) -> int:
        """Read one 32-bit register."""
        self._address.value = offset
        await self._cycle()
        return int(self._read_data.value)

    async def write(self, reg: str, value: int = 1) -> None:
        """Write ``value`` to the first field of a register, 0 to its others."""
        field = registers.find(self._block, reg)
        await self.write_word(field.offset, value << field.lsb)

    async def read(self, reg: str, name: str | None = None) -> int:
        """Read a field (the register's first when none is named)."""
        field = registers.find(self._block, reg, name)
        return await self.read_word(field.offset) >> field.lsb & ((1 << field.bits) - 1)
