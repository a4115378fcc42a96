"""Images: what a device loads and runs, and what the host needs to talk about it.

A file is the device's part (`spec.descriptor.IMAGE_HEADER` and all it points to, ``n_bytes``) followed by metadata:
length and CRC-32 as 32-bit words, then JSON in UTF-8.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ImageError
from .planes import Planes
from .spec.config import EngineConfig
from .spec.descriptor import IMAGE_HEADER, IMAGE_MAGIC, IMAGE_VERSION

HEADER_BYTES = IMAGE_HEADER.n_words * 4
_METADATA_HEAD = struct.Struct("<II")


def parse_header(data: bytes, config: EngineConfig | None = None) -> dict[str, int]:
    """Fields of `spec.descriptor.IMAGE_HEADER`, checked against the bytes they describe.

    Raises
    ------
    ImageError
        Not an image, another version or configuration, truncated, or damaged.
    """
    if len(data) < HEADER_BYTES:
        raise ImageError(f"truncated image: {len(data)} bytes, expected at least {HEADER_BYTES}")
    header = IMAGE_HEADER.unpack(np.frombuffer(data, "<u4", IMAGE_HEADER.n_words))
    if header["magic"] != IMAGE_MAGIC:
        raise ImageError(f"not a Pumice image: it starts with {header['magic']:#010x}, expected {IMAGE_MAGIC:#010x}")
    if header["version"] != IMAGE_VERSION:
        raise ImageError(f"image version {header['version']}, expected {IMAGE_VERSION}: compile the model again")
    if len(data) < header["n_bytes"] or header["n_bytes"] < HEADER_BYTES:
        raise ImageError(f"truncated image: {len(data)} bytes, its header says {header['n_bytes']}")
    crc = zlib.crc32(data[HEADER_BYTES : header["n_bytes"]])
    if crc != header["crc"]:
        raise ImageError(f"damaged image: CRC {crc:#010x}, its header says {header['crc']:#010x}")
    for part in ("load", "run"):
        offset, n_bytes = header[f"{part}_offset"], header[f"{part}_bytes"]
        if offset % 8 or n_bytes % 8 or offset < HEADER_BYTES or offset + n_bytes > header["n_bytes"]:
            raise ImageError(f"damaged image: its {part} list (bytes {offset} to {offset + n_bytes}) leaves the image")
    if config is not None and header["config_id"] != config.config_id:
        raise ImageError(
            f"image for engine configuration {header['config_id']:#010x}, expected {config.config_id:#010x} "
            f"({config.name}): compile the model for {config.name}"
        )
    return header


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """A compiled network.

    Attributes
    ----------
    data : bytes
        What the device reads.
    metadata : dict
        JSON values; made and described by `pumice.compiler`.
    """

    data: bytes
    metadata: dict

    @property
    def header(self) -> dict[str, int]:
        """Fields of the device's header."""
        return parse_header(self.data)

    def pack_input(self, values: np.ndarray) -> bytes:
        """Bytes of the input buffer for an int8 map (height, width, channels). InputError: wrong shape or dtype."""
        return Planes.from_json(self.metadata["input"]["planes"]).pack(values)

    def pack_inputs(self, tensors: Mapping[str, np.ndarray]) -> bytes:
        """Bytes of the input buffer for all inputs by name. InputError as `pack_input`."""
        entries = [self.metadata["input"], *self.metadata["further_inputs"]]
        return b"".join(Planes.from_json(entry["planes"]).pack(tensors[entry["name"]]) for entry in entries)

    def unpack_outputs(self, data: bytes) -> dict[str, np.ndarray]:
        """All outputs by name, as `unpack_output`."""
        outputs = {}
        for entry in (self.metadata["output"], *self.metadata["further_outputs"]):
            planes = Planes.from_json(entry["planes"])
            outputs[entry["name"]] = planes.unpack(data)[..., : planes.shape[2]]
            data = data[planes.n_bytes :]
        return outputs

    def unpack_output(self, data: bytes) -> np.ndarray:
        """The network's output, int8 (height, width, channels), from the output buffer."""
        return self.unpack_outputs(data)[self.metadata["output"]["name"]]

    def unpack_tensors(self, data: bytes) -> dict[str, tuple[np.ndarray, tuple[int, ...]]]:
        """Every layer's output from the output buffer of a debug image: computed channels, and which they are."""
        tensors = {}
        for name, entry in self.metadata["debug"].items():
            planes, channels = Planes.from_json(entry["planes"]), tuple(entry["channels"])
            stored = planes.unpack(data[entry["offset"] :])
            tensors[name] = (stored[..., np.searchsorted(planes.channels, channels)], channels)
        return tensors

    def to_bytes(self) -> bytes:
        """The file's contents."""
        text = json.dumps(self.metadata, separators=(",", ":")).encode()
        return self.data + _METADATA_HEAD.pack(len(text), zlib.crc32(text)) + text

    @classmethod
    def from_bytes(cls, data: bytes, config: EngineConfig | None = None) -> "Image":
        """Inverse of `to_bytes`; with ``config``, the image must be for it.

        Raises
        ------
        ImageError
            See `parse_header`; or the metadata are truncated or damaged.
        """
        n_bytes = parse_header(data, config)["n_bytes"]
        start = n_bytes + _METADATA_HEAD.size
        if len(data) < start:
            raise ImageError("truncated image: its metadata are missing")
        length, crc = _METADATA_HEAD.unpack(data[n_bytes:start])
        text = data[start:]
        if len(text) != length:
            raise ImageError(f"truncated image: {len(text)} bytes of metadata, expected {length}")
        if zlib.crc32(text) != crc:
            raise ImageError(f"damaged image: metadata CRC {zlib.crc32(text):#010x}, expected {crc:#010x}")
        return cls(data=data[:n_bytes], metadata=json.loads(text))

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path, config: EngineConfig | None = None) -> "Image":
        """Read a file. ImageError: it cannot be read, or see `from_bytes`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ImageError(f"cannot read image {path}: {error.strerror}") from error
        return cls.from_bytes(data, config)
