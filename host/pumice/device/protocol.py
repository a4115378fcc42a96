"""What the host library needs from anything that carries an engine: registers, buffers, an interrupt to wait for."""

from typing import Protocol

import numpy as np


class Buffer(Protocol):
    """Memory that host and engine share.

    Attributes
    ----------
    array : ndarray of uint8, (n_bytes,)
        The host's view; what the engine sees or wrote only after `flush` or `invalidate`.
    address : int
        Bus address of the first byte, a multiple of 8, below 2**40.
    """

    array: np.ndarray
    address: int

    def flush(self) -> None:
        """Make the host's writes visible to the engine."""
        ...

    def invalidate(self) -> None:
        """Make the engine's writes visible to the host."""
        ...

    def free(self) -> None:
        """Give the memory back. Harmless when repeated."""
        ...


class Hardware(Protocol):
    """One engine as its host sees it; implemented by the simulated board and by each way to a real one."""

    def read(self, offset: int) -> int:
        """A 32-bit register of the host block, by byte offset."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register of the host block, by byte offset; ``value`` in 0 .. 2**32 - 1."""
        ...

    def allocate(self, n_bytes: int) -> Buffer:
        """A zeroed buffer of ``n_bytes`` bytes."""
        ...

    def wait_interrupt(self, limit_cycles: int) -> bool:
        """Wait until the interrupt line is high, at most ``limit_cycles`` engine clock cycles; says whether it is."""
        ...

    def close(self) -> None:
        """Let go of the hardware. Harmless when repeated."""
        ...
