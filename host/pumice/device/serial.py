"""A board on a serial port as a device's hardware; see `pumice.spec.link` for what goes over the wire."""

import struct
import time
import zlib

import numpy as np

from ..errors import DeviceError, DeviceTimeoutError
from ..spec.config import EngineConfig
from ..spec.link import (
    END,
    ESCAPE,
    ESCAPED,
    LINK_REQUEST,
    LINK_RESPONSE,
    MAX_WORDS,
    SPACE_MEMORY,
    SPACE_REGISTERS,
)
from ..spec.registers import find
from .driver import EngineDriver

BAUD = 3_000_000
ATTEMPTS = 8
TIMEOUT_S = 0.25
BITS_PER_BYTE = 10  # on the wire: start, 8 data bits, stop
WORD_BYTES = 4
ALIGNMENT = 8  # of buffers: the engine's bus is 64 bits wide
_PLAIN = {code: byte for byte, code in ESCAPED.items()}
_WORST_FRAME_BYTES = 2 * WORD_BYTES * (LINK_REQUEST.n_words + MAX_WORDS + 1) + 2


def encode_frame(words: list[int]) -> bytes:
    """A frame of 32-bit words, as it goes over the wire."""
    data = struct.pack(f"<{len(words)}I", *words)
    data += struct.pack("<I", zlib.crc32(data))
    body = b"".join(bytes((ESCAPE, ESCAPED[b])) if b in ESCAPED else bytes((b,)) for b in data)
    return bytes((END,)) + body + bytes((END,))


def decode_frame(body: bytes | bytearray) -> list[int] | None:
    """Words of what stood between two ENDs; None when it is empty or damaged."""
    data, escaped = bytearray(), False
    for byte in body:
        if escaped:
            if byte not in _PLAIN:
                return None
            data.append(_PLAIN[byte])
        elif byte != ESCAPE:
            data.append(byte)
        escaped = not escaped and byte == ESCAPE
    if escaped or len(data) < 2 * WORD_BYTES or len(data) % WORD_BYTES:
        return None
    *words, crc = struct.unpack(f"<{len(data) // WORD_BYTES}I", data)
    return list(words) if crc == zlib.crc32(data[:-WORD_BYTES]) else None


class SerialLink:
    """The host's end of the link: reads and writes words, each exactly once, over a line that may lose or damage bytes.

    Parameters
    ----------
    port : str
        As pyserial names it.
    baud : int
    timeout_s : float
        How long an answer may take, besides the time on the wire.
    attempts : int
        How often a request is sent before giving up.

    Attributes
    ----------
    memory_bytes : int
        Size of the board's memory.
    n_retries : int
        Requests that had to be sent again.

    Raises
    ------
    DeviceError
        The port cannot be opened, or fails; pyserial is not installed.
    DeviceTimeoutError
        No answer to a request after all attempts.
    """

    def __init__(self, port: str, *, baud: int = BAUD, timeout_s: float = TIMEOUT_S, attempts: int = ATTEMPTS):
        try:
            import serial
        except ImportError as error:
            raise DeviceError(
                f"a board on a serial port needs pyserial ({error}): pip install 'pumice[serial]'"
            ) from None
        if attempts < 1 or timeout_s <= 0:
            raise ValueError(f"attempts and timeout_s must be positive, not {attempts} and {timeout_s}")
        self._serial_error = serial.SerialException
        frame_s = _WORST_FRAME_BYTES * BITS_PER_BYTE / baud
        self._limit_s, self._attempts = timeout_s + 2 * frame_s, attempts
        self._sequence, self.n_retries = 0, 0
        self._received = bytearray()
        self._name = port
        try:
            self._port = serial.Serial(port, baud, timeout=timeout_s / 10, write_timeout=self._limit_s)
        except (self._serial_error, OSError, ValueError) as error:
            raise DeviceError(f"cannot open serial port {port}: {error}") from error
        try:
            self._memory_log2 = 0
            self.read(SPACE_REGISTERS, 0, 1)
        except BaseException:
            self.close()
            raise

    @property
    def memory_bytes(self) -> int:
        """Size of the board's memory."""
        return 1 << self._memory_log2

    def close(self) -> None:
        """Close the port. Harmless when repeated."""
        self._port.close()

    def read(self, space: int, address: int, n_words: int) -> list[int]:
        """``n_words`` (1..MAX_WORDS) consecutive words."""
        return self._request(space, address, n_words, None)

    def write(self, space: int, address: int, words: list[int]) -> None:
        """Write 1..MAX_WORDS consecutive words."""
        self._request(space, address, len(words), words)

    def _request(self, space: int, address: int, n_words: int, words: list[int] | None) -> list[int]:
        self._sequence = (self._sequence + 1) % 256
        head = LINK_REQUEST.pack(
            sequence=self._sequence,
            write=words is not None,
            space=space,
            n_words_minus_1=n_words - 1,
            address=address,
        )
        frame = encode_frame(head + (words or []))
        n_expected = n_words if words is None else 0
        try:
            for attempt in range(self._attempts):
                self.n_retries += attempt > 0
                self._port.write(frame)
                answer = self._await(n_expected)
                if answer is not None:
                    return answer
        except (self._serial_error, OSError) as error:
            raise DeviceError(f"serial port {self._name} failed: {error}") from error
        raise DeviceTimeoutError(
            f"no answer from {self._name} in {self._attempts} attempts of {self._limit_s:.2g} s: "
            "is the board on, configured with Pumice, and is this its port?"
        )

    def _await(self, n_words: int) -> list[int] | None:
        """Data of the response to the present request; None when it does not come in time."""
        end = time.monotonic() + self._limit_s
        while time.monotonic() < end:
            self._received += self._port.read(max(1, self._port.in_waiting))
            *bodies, self._received = self._received.split(bytes((END,)))
            for words in filter(None, (decode_frame(body) for body in bodies)):
                response = LINK_RESPONSE.unpack(words)
                if response["sequence"] == self._sequence and len(words) == LINK_RESPONSE.n_words + n_words:
                    self._memory_log2 = response["memory_log2"]
                    return words[LINK_RESPONSE.n_words :]
        return None


class SerialBuffer:
    """A piece of the board's memory; see `pumice.device.protocol.Buffer`."""

    def __init__(self, hardware: "SerialHardware", address: int, n_bytes: int):
        self.array, self.address = np.zeros(n_bytes, np.uint8), address
        self._hardware = hardware
        self._n_words = -(-n_bytes // WORD_BYTES)

    def flush(self) -> None:
        """Write the host's copy to the board."""
        padded = self.array.tobytes().ljust(self._n_words * WORD_BYTES, b"\0")
        words = list(struct.unpack(f"<{self._n_words}I", padded))
        for i in range(0, self._n_words, MAX_WORDS):
            self._hardware.link.write(SPACE_MEMORY, self.address + i * WORD_BYTES, words[i : i + MAX_WORDS])

    def invalidate(self) -> None:
        """Replace the host's copy by what the board holds."""
        words = []
        for i in range(0, self._n_words, MAX_WORDS):
            n_words = min(MAX_WORDS, self._n_words - i)
            words += self._hardware.link.read(SPACE_MEMORY, self.address + i * WORD_BYTES, n_words)
        self.array[:] = np.array(words, "<u4").view(np.uint8)[: len(self.array)]

    def free(self) -> None:
        """Give the memory back. Harmless when repeated."""
        self._hardware.release(self)


class SerialHardware:
    """An engine behind a serial link; see `pumice.device.protocol.Hardware`.

    Parameters
    ----------
    link : SerialLink
        Owned by the hardware from here on.
    clock_mhz : float
        The engine's clock, for waiting.
    """

    def __init__(self, link: SerialLink, clock_mhz: float):
        self.link, self._clock_mhz = link, clock_mhz
        self._spans: dict[int, int] = {}  # address -> length of each live buffer

    def read(self, offset: int) -> int:
        """A 32-bit register of the host block."""
        return self.link.read(SPACE_REGISTERS, offset, 1)[0]

    def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register of the host block."""
        self.link.write(SPACE_REGISTERS, offset, [value])

    def allocate(self, n_bytes: int) -> SerialBuffer:
        """A buffer in the first gap that is large enough. DeviceError: there is none."""
        span = max(1, -(-n_bytes // ALIGNMENT)) * ALIGNMENT
        address = 0
        for start, length in sorted(self._spans.items()):
            if start - address >= span:
                break
            address = start + length
        if address + span > self.link.memory_bytes:
            raise DeviceError(
                f"the board's memory of {self.link.memory_bytes} bytes has no room for {n_bytes} more: "
                f"{sum(self._spans.values())} bytes are in use"
            )
        self._spans[address] = span
        return SerialBuffer(self, address, n_bytes)

    def release(self, buffer: SerialBuffer) -> None:
        """Forget a buffer."""
        self._spans.pop(buffer.address, None)

    def wait_interrupt(self, limit_cycles: int) -> bool:
        """Ask until the interrupt is pending, for as long as ``limit_cycles`` take; at least once."""
        pending = find("host", "interrupt").offset
        end = time.monotonic() + limit_cycles / (1e6 * self._clock_mhz)
        while not self.read(pending):
            if time.monotonic() > end:
                return False
        return True

    def close(self) -> None:
        """Close the port. Harmless when repeated."""
        self.link.close()


def open_serial(
    config: EngineConfig,
    *,
    port: str | None = None,
    baud: int = BAUD,
    timeout_s: float = TIMEOUT_S,
    attempts: int = ATTEMPTS,
) -> EngineDriver:
    """An engine of ``config`` on the board at ``port``; see `SerialLink` for the options and errors."""
    if port is None:
        raise DeviceError("the serial device needs its port, for example port='/dev/ttyUSB0'")
    link = SerialLink(port, baud=baud, timeout_s=timeout_s, attempts=attempts)
    return EngineDriver(SerialHardware(link, config.clock_mhz), config)
