"""How a feature map lies in activation memory: planes, phases, shared padding."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .errors import InputError


@dataclass(frozen=True, kw_only=True)
class Planes:
    """Place of every value of a feature map, relative to the start of its region.

    A plane holds one phase of one channel: rows ``y % sy == py`` and columns ``x % sx == px`` of it, ``row_stride``
    bytes from row to row. Planes follow each other channel by channel, phase ``py * sx + px`` fastest, with
    ``gap_bytes`` of zero point before the first one and after each; the columns between width and ``row_stride`` hold
    the zero point too, where readers read them.

    Attributes
    ----------
    shape : tuple of int
        Height, width, channels of the map.
    phases : tuple of int
        ``(sy, sx)``: the stride that its readers move with.
    row_stride, plane_bytes, gap_bytes : int
        Bytes from row to row, of a plane, and between planes.
    channels : tuple of int
        The channel that each plane (all phases) holds, ascending; others are not stored.
    zero_point : int
    """

    shape: tuple[int, int, int]
    phases: tuple[int, int]
    row_stride: int
    plane_bytes: int
    gap_bytes: int
    channels: tuple[int, ...]
    zero_point: int

    @property
    def n_phases(self) -> int:
        """Planes of a channel."""
        return self.phases[0] * self.phases[1]

    @property
    def phase_pitch(self) -> int:
        """Bytes from one plane to the next."""
        return self.plane_bytes + self.gap_bytes

    @property
    def channel_pitch(self) -> int:
        """Bytes from one channel's first plane to the next channel's."""
        return self.n_phases * self.phase_pitch

    @property
    def n_bytes(self) -> int:
        """Bytes of the region, a multiple of 8 (and at least 8)."""
        return max(8, -(-(self.gap_bytes + len(self.channels) * self.channel_pitch) // 8) * 8)

    def tap_offset(self, dy: int, dx: int) -> int:
        """Byte offset of map position ``(dy, dx)`` from a channel's first plane; positions may be outside the map."""
        (sy, sx), (row, column) = self.phases, (dy // self.phases[0], dx // self.phases[1])
        return ((dy % sy) * sx + dx % sx) * self.phase_pitch + row * self.row_stride + column

    def channel_offset(self, channel: int) -> int:
        """Byte offset of a channel's first plane in the region."""
        return self.gap_bytes + self._index[channel] * self.channel_pitch

    @cached_property
    def _index(self) -> dict[int, int]:
        return {channel: i for i, channel in enumerate(self.channels)}

    @cached_property
    def _places(self) -> np.ndarray:
        """Byte offset of each stored value, (height, width, stored channels)."""
        height, width, _ = self.shape
        (sy, sx), y, x = self.phases, np.arange(height)[:, None], np.arange(width)
        plane = ((y % sy) * sx + x % sx) * self.phase_pitch + y // sy * self.row_stride + x // sx
        return self.gap_bytes + plane[..., None] + np.arange(len(self.channels)) * self.channel_pitch

    def pack(self, values: np.ndarray) -> bytes:
        """Bytes of the region for an int8 map of ``shape``; everything else is the zero point.

        Raises
        ------
        InputError
            Wrong shape or dtype.
        """
        values = np.asarray(values)
        if values.shape != self.shape or values.dtype != np.int8:
            raise InputError(f"expected int8 of shape {self.shape}, not {values.dtype} of shape {values.shape}")
        region = np.full(self.n_bytes, self.zero_point, np.int8)
        own = [c for c in self.channels if c < self.shape[2]]  # others are those of another input of some reader
        region[self._places[..., : len(own)]] = values[..., own]
        return region.tobytes()

    def unpack(self, data: bytes) -> np.ndarray:
        """The map's stored channels from the region's bytes: int8, (height, width, stored channels).

        Raises
        ------
        InputError
            ``data`` is too short.
        """
        if len(data) < self.n_bytes:
            raise InputError(f"expected {self.n_bytes} bytes, not {len(data)}")
        return np.frombuffer(data, np.int8)[self._places]

    def to_json(self) -> dict[str, Any]:
        """Plain data for an image's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Planes":
        """Inverse of `to_json`."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fields)
