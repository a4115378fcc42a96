"""The interrupt controller of the PYNQ boards."""

from collections.abc import Callable


class InterruptController:
    """AXI interrupt controller with one level-sensitive input: the registers that PYNQ uses (Xilinx PG099).

    Parameters
    ----------
    source : function
        Whether the input is high.
    """

    STATUS, PENDING, ENABLE, ACKNOWLEDGE, SET, CLEAR, MASTER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C

    def __init__(self, source: Callable[[], bool]):
        self._source = source
        self._status = self._enable = self._master = 0

    def read(self, offset: int) -> int:
        """A register."""
        self._sample()
        pending = self._status & self._enable
        return {self.STATUS: self._status, self.PENDING: pending, self.ENABLE: self._enable}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; it has one bit."""
        self._sample()
        value &= 1
        if offset == self.ACKNOWLEDGE:
            self._status &= ~value
        elif offset == self.ENABLE:
            self._enable = value
        elif offset == self.SET:
            self._enable |= value
        elif offset == self.CLEAR:
            self._enable &= ~value
        elif offset == self.MASTER:
            self._master = value

    def output(self) -> bool:
        """The interrupt line to the processor."""
        self._sample()
        return bool(self._master & self._status & self._enable)

    def _sample(self) -> None:
        self._status |= self._source()
