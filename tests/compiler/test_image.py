"""Image files: what is saved comes back; anything else is refused with its reason."""

import json
import struct
import zlib

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.errors import ImageError, InputError
from pumice.image import HEADER_BYTES, Image
from pumice.spec.config import TINY, Z7020

from .graphs import GraphBuilder

SEED = 5


@pytest.fixture(scope="module")
def image() -> Image:
    b = GraphBuilder(np.random.default_rng(SEED), (6, 5, 3))
    return compile_graph(b.build(b.conv("input", 4, stride=(2, 2))), TINY)


def _patched(data: bytes, offset: int, fmt: str, value: int) -> bytes:
    return data[:offset] + struct.pack(fmt, value) + data[offset + struct.calcsize(fmt) :]


def test_saved_image_comes_back(image, tmp_path):
    image.save(tmp_path / "net.pumice")
    loaded = Image.load(tmp_path / "net.pumice", TINY)
    assert loaded.data == image.data
    assert loaded.metadata == json.loads(json.dumps(image.metadata))
    assert loaded.to_bytes() == image.to_bytes()


def test_compiling_twice_gives_the_same_bytes():
    def build() -> bytes:
        b = GraphBuilder(np.random.default_rng(SEED), (6, 5, 3))
        return compile_graph(b.build(b.conv(b.conv("input", 4, density=0.3), 4)), Z7020).to_bytes()

    assert build() == build()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data, n: data[:40], "truncated image: 40 bytes, expected at least 64"),
        (lambda data, n: b"GIF8" + data[4:], "not a Pumice image"),
        (lambda data, n: _patched(data, 4, "<I", 7), "image version 7, expected 2"),
        (lambda data, n: data[: n - 8], "truncated image: .* its header says"),
        (lambda data, n: _patched(data, 12, "<I", 8), "truncated image"),
        (lambda data, n: _patched(data, HEADER_BYTES, "<B", data[HEADER_BYTES] ^ 1), "damaged image: CRC"),
        (lambda data, n: _patched(data, 20, "<I", n), "damaged image: its load list .* leaves the image"),
        (lambda data, n: _patched(data, 32, "<I", 1 << 30), "damaged image: its run list .* leaves the image"),
        (lambda data, n: data[: n + 4], "metadata are missing"),
        (lambda data, n: data[:-1], "truncated image: .* bytes of metadata"),
        (lambda data, n: data[:-1] + b"!", "damaged image: metadata CRC"),
    ],
)
def test_damaged_file_is_refused(image, damage, message):
    with pytest.raises(ImageError, match=message):
        Image.from_bytes(damage(image.to_bytes(), len(image.data)), TINY)


def test_image_for_another_configuration_is_refused(image):
    with pytest.raises(ImageError, match=f"expected {Z7020.config_id:#010x} .*compile the model for Z7020"):
        Image.from_bytes(image.to_bytes(), Z7020)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ImageError, match="cannot read image"):
        Image.load(tmp_path / "none.pumice")


def test_header_describes_the_image(image):
    header = image.header
    assert header["n_bytes"] == len(image.data)
    assert header["crc"] == zlib.crc32(image.data[HEADER_BYTES:])
    assert header["config_id"] == TINY.config_id
    assert header["n_layers"] == 1
    assert header["input_bytes"] == len(image.pack_input(np.zeros((6, 5, 3), np.int8)))


@pytest.mark.parametrize("x", [np.zeros((5, 6, 3), np.int8), np.zeros((6, 5, 3), np.float32)])
def test_wrong_input_is_refused(image, x):
    with pytest.raises(InputError, match=r"expected int8 of shape \(6, 5, 3\)"):
        image.pack_input(x)


def test_short_output_is_refused(image):
    with pytest.raises(InputError, match=r"expected .* bytes, not 3"):
        image.unpack_output(bytes(3))
