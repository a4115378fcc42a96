"""Compiled networks of several parts: images for the engine, and layers that the host runs between them.

A file is ``PUMP``, a CRC-32 of the rest, the number of parts that follow and their lengths, all little-endian 32-bit
words; then the network itself (`pumice.frontends.native`) and its images in order.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from .errors import ImageError
from .graph import Graph
from .image import Image
from .split import split

MAGIC = b"PUMP"
_HEAD = struct.Struct("<4sII")


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A network and the images of its parts that run on the engine, in order; see `pumice.split.split`."""

    graph: Graph
    images: tuple[Image, ...]

    @property
    def predicted_cycles(self) -> int:
        """Of all images."""
        return sum(image.metadata["predicted_cycles"] for image in self.images)

    @property
    def weight_bytes(self) -> int:
        """Of all images."""
        return sum(image.metadata["weight_bytes"] for image in self.images)

    def to_bytes(self) -> bytes:
        """The file's contents."""
        from .frontends.native import graph_bytes

        parts = [graph_bytes(self.graph), *(image.to_bytes() for image in self.images)]
        body = struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)
        return _HEAD.pack(MAGIC, zlib.crc32(body), len(parts)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> "Pipeline":
        """Inverse of `to_bytes`. ImageError: truncated or damaged. ModelError: the network in it is malformed."""
        from .frontends.native import parse_native

        if len(data) < _HEAD.size or data[:4] != MAGIC:
            raise ImageError("no compiled network of several parts")
        _, crc, n_parts = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if zlib.crc32(body) != crc or not 0 < 4 * n_parts <= len(body):
            raise ImageError("the compiled network is truncated or damaged: its checksum is wrong")
        parts, start = [], 4 * n_parts
        for length in struct.unpack_from(f"<{n_parts}I", body):
            parts.append(body[start : start + length])
            start += length
        network = cls(parse_native(parts[0]), tuple(Image.from_bytes(part) for part in parts[1:]))
        if len(network.images) != sum(part.on_engine for part in split(network.graph)):
            raise ImageError(f"the compiled network holds {len(network.images)} images, which are not its parts")
        return network

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_bytes(self.to_bytes())
