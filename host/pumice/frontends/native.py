"""Pumice's own file of an int8 network: everything a `pumice.graph.Graph` holds, no more.

``PUMQ``, then little-endian 32-bit words: version, length of the JSON text, CRC-32 of all that follows; the text in
UTF-8; the arrays one after the other. The text is the graph's fields, an array being ``{"dtype", "shape"}`` in order of
appearance.
"""

import json
import math
import struct
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import ModelError
from ..graph import Add, Arrange, Conv, Graph, Layer, Pool, Resize, Softmax, Table, Tensor, Window
from ..spec.numerics import MAX_SHIFT
from .build import MAX_ELEMENTS
from .windows import make_window

MAGIC = b"PUMQ"
VERSION = 2
KINDS: dict[str, type[Layer]] = {
    "conv": Conv,
    "pool": Pool,
    "add": Add,
    "softmax": Softmax,
    "arrange": Arrange,
    "resize": Resize,
    "table": Table,
}
DTYPES = {"weights": "int8", "bias": "int32", "scales": "float64"}
MAX_RANK = 4
_HEAD = struct.Struct("<4sIII")


def save_graph(graph: Graph, path: str | Path) -> None:
    """Write a file that `parse_native` reads."""
    Path(path).write_bytes(graph_bytes(graph))


def graph_bytes(graph: Graph) -> bytes:
    """The file's contents."""
    arrays: list[np.ndarray] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {"dtype": value.dtype.name, "shape": list(value.shape)}
        return asdict(value) if isinstance(value, Window) else value

    names = {layer_type: kind for kind, layer_type in KINDS.items()}
    layers = [
        {"type": names[type(layer)]} | {f.name: plain(getattr(layer, f.name)) for f in fields(layer)}
        for layer in graph.layers
    ]
    stated = {f.name for f in fields(graph)} - {"tensors", "layers", "further_inputs"}
    own = {name: getattr(graph, name) for name in sorted(stated)}
    text = json.dumps(own | {"tensors": [asdict(t) for t in graph.tensors.values()], "layers": layers}).encode()
    return pack(MAGIC, text, arrays)


def pack(magic: bytes, text: bytes, arrays: list[np.ndarray]) -> bytes:
    """A file of a kind that ``magic`` names."""
    body = text + b"".join(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes() for array in arrays)
    return _HEAD.pack(magic, VERSION, len(text), zlib.crc32(body)) + body


def unpack(data: bytes, magic: bytes) -> tuple[bytes, bytes]:
    """Text and arrays of a file that `pack` made. Raises ModelError: truncated, damaged, or of another version."""
    if len(data) < _HEAD.size or data[:4] != magic:
        raise ModelError(f"no Pumice network: it must start with {magic!r} and take {_HEAD.size} bytes at least")
    _, version, n_text, crc = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ModelError(f"network file of version {version}, expected {VERSION}: make it again from the model")
    body = data[_HEAD.size :]
    if zlib.crc32(body) != crc or n_text > len(body):
        raise ModelError("the network file is truncated or damaged: its checksum is wrong")
    return body[:n_text], body[n_text:]


def parse_native(data: bytes) -> Graph:
    """The graph of a file's bytes, whatever they are.

    Raises
    ------
    ModelError
        Truncated, damaged, of another version, or holding something that no graph can hold.
    """
    text, arrays = unpack(data, MAGIC)
    try:
        return _Reader(arrays).graph(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(f"the network file is malformed: {error!r}") from error


def _refuse(what: str) -> NoReturn:
    raise ModelError(f"the network file is malformed: {what}")


def _integer(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        _refuse(f"{value!r} where an integer from {low} to {high} is expected")
    return value


def _real(value: Any) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        _refuse(f"{value!r} where a positive number is expected")
    return float(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _refuse(f"{value!r} where text is expected")


def _sizes(value: Any, rank: int | None = None) -> tuple[int, ...]:
    sizes = tuple(_integer(n, 1, MAX_ELEMENTS) for n in value)
    if (rank is not None and len(sizes) != rank) or math.prod(sizes) > MAX_ELEMENTS:
        _refuse(f"the impossible shape {sizes}")
    return sizes


class _Reader:
    """``data``: the arrays that have not been read yet."""

    def __init__(self, data: bytes):
        self.data = data
        self.tensors: dict[str, Tensor] = {}

    def graph(self, entry: dict) -> Graph:
        for item in entry["tensors"]:
            height, width, channels = _sizes(item["shape"], 3)
            tensor = Tensor(
                name=_text(item["name"]),
                shape=(height, width, channels),
                scale=_real(item["scale"]),
                zero_point=_integer(item["zero_point"], -128, 127),
            )
            self.tensors[tensor.name] = tensor
        made = {_text(entry["input"])}
        layers = []
        for item in entry["layers"]:
            layer = self._layer(item)
            if not set(layer.inputs) <= made or layer.output in made or not {*made, layer.output} <= set(self.tensors):
                _refuse(f"layer {layer.name} reads what is not made, or makes what is")
            made.add(layer.output)
            layers.append(layer)
        outputs = [_text(name) for name in (entry["output"], *entry["further_outputs"])]
        if not layers or not set(outputs) <= made - {entry["input"]} or len(set(outputs)) < len(outputs) or self.data:
            _refuse("outputs that no layer makes, or something behind the arrays")
        return Graph(
            name=_text(entry["name"]),
            tensors=self.tensors,
            layers=layers,
            input=entry["input"],
            output=entry["output"],
            input_shape=self._outer_shape(entry["input_shape"], entry["input"]),
            output_shape=self._outer_shape(entry["output_shape"], entry["output"]),
            further_outputs={name: self._outer_shape(shape, name) for name, shape in entry["further_outputs"].items()},
            metadata={_text(key): _text(value) for key, value in entry["metadata"].items()},
        )

    def _outer_shape(self, value: Any, tensor: str) -> tuple[int, ...]:
        shape = _sizes(value)
        if math.prod(shape) != math.prod(self.tensors[tensor].shape):
            _refuse(f"shape {shape} for tensor {tensor} of {self.tensors[tensor].shape}")
        return shape

    def _layer(self, item: dict) -> Layer:
        layer_type = KINDS[item["type"]]
        n_inputs = 2 if layer_type is Add else len(item["inputs"]) or 1 if layer_type is Arrange else 1
        common: dict[str, Any] = {
            "name": _text(item["name"]),
            "inputs": tuple(_text(name) for name in item["inputs"]),
            "output": _text(item["output"]),
        }
        if len(common["inputs"]) != n_inputs:
            _refuse(f"layer {common['name']} with {len(common['inputs'])} inputs")
        sources, output = [self.tensors[name] for name in common["inputs"]], self.tensors[common["output"]]
        if layer_type is Softmax:
            self._expect(common["name"], output.shape, sources[0].shape)
            return Softmax(**common, beta=_real(item["beta"]))
        if layer_type is Resize:
            return self._resize(item, common, sources[0], output)
        if layer_type is Table:
            return self._table(item, common, sources[0], output)
        if layer_type is Arrange:
            return self._arrange(item, common, sources, output)
        self._check_scales(common["name"], sources, output)
        low, high = (_integer(item[bound], -128, 127) for bound in ("low", "high"))
        common |= {"low": low, "high": high}
        if layer_type is Add:
            for source in sources:
                self._expect(common["name"], output.shape, source.shape)
            return Add(**common)
        window = self._window(item["window"])
        size = window.output_size(*sources[0].shape[:2])
        if layer_type is Pool:
            self._expect(common["name"], output.shape, (*size, sources[0].shape[2]))
            return self._pool(item, common, window, sources[0], output)
        return self._conv(item, common, window, size, sources[0], output)

    @staticmethod
    def _check_scales(name: str, sources: list[Tensor], output: Tensor) -> None:
        if any(source.scale / output.scale >= 1 << MAX_SHIFT for source in sources):
            _refuse(f"layer {name} with impossible scales")

    def _resize(self, item: dict, common: dict, source: Tensor, output: Tensor) -> Resize:
        self._expect(common["name"], output.shape[2:], source.shape[2:])
        modes = item["half_pixel"], item["align_corners"]
        is_same = (source.scale, source.zero_point) == (output.scale, output.zero_point)
        if not is_same or any(type(mode) is not bool for mode in modes) or all(modes):
            _refuse(f"layer {common['name']}: modes {modes}, or another quantisation behind it")
        return Resize(**common, size=(output.shape[0], output.shape[1]), half_pixel=modes[0], align_corners=modes[1])

    def _table(self, item: dict, common: dict, source: Tensor, output: Tensor) -> Table:
        self._expect(common["name"], output.shape, source.shape)
        table = self._array(item["table"], "int8")
        if table.shape not in ((1, 256), (source.shape[2], 256)):
            _refuse(f"layer {common['name']}: a table of shape {table.shape}")
        return Table(**common, table=table, kind=_text(item["kind"]))

    def _arrange(self, item: dict, common: dict, sources: list[Tensor], output: Tensor) -> Arrange:
        self._check_scales(common["name"], sources, output)
        index, n_values = self._array(item["index"], "int32"), sum(math.prod(source.shape) for source in sources)
        self._expect(common["name"], index.shape, output.shape)
        if index.min() < -1 or index.max() >= n_values:
            _refuse(f"layer {common['name']}: places outside of its inputs")
        return Arrange(**common, index=index, kind=_text(item["kind"]))

    def _pool(self, item: dict, common: dict, window: Window, source: Tensor, output: Tensor) -> Pool:
        padded = window.pad_top or window.pad_bottom or window.pad_left or window.pad_right
        same = (source.scale, source.zero_point) == (output.scale, output.zero_point)
        if (item["mode"], bool(padded)) == ("average", False) or (item["mode"] == "max" and same):
            return Pool(**common, window=window, mode=item["mode"])
        return _refuse(f"pool {common['name']}: {item['mode']!r}")

    def _conv(self, item: dict, common: dict, window: Window, size, source: Tensor, output: Tensor) -> Conv:
        weights, bias, scales = (self._array(item[name], dtype) for name, dtype in DTYPES.items())
        groups, n_out = _integer(item["groups"], 1, source.shape[2]), output.shape[2]
        self._expect(common["name"], output.shape, (*size, n_out))
        self._expect(common["name"], weights.shape, (n_out, *window.kernel, source.shape[2] // groups))
        self._expect(common["name"], (*bias.shape, *scales.shape), (n_out, n_out))
        if source.shape[2] % groups or n_out % groups or not np.all((scales >= 0) & (scales < 1 << MAX_SHIFT)):
            _refuse(f"layer {common['name']} with impossible groups or scales")
        if type(item["single_rounding"]) is not bool:
            _refuse("single_rounding must be true or false")
        return Conv(
            **common,
            window=window,
            weights=weights,
            bias=bias,
            scales=scales,
            groups=groups,
            kind=_text(item["kind"]),
            single_rounding=item["single_rounding"],
        )

    @staticmethod
    def _expect(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
        if found != expected:
            _refuse(f"layer {name}: shape {found} where {expected} is expected")

    @staticmethod
    def _window(item: dict) -> Window:
        kernel, stride, dilation = (_sizes(item[key], 2) for key in ("kernel", "stride", "dilation"))
        sides = ("pad_top", "pad_bottom", "pad_left", "pad_right")
        top, bottom, left, right = (_integer(item[key], 0, MAX_ELEMENTS) for key in sides)
        return make_window(kernel, stride, dilation, (top, bottom, left, right))

    def _array(self, item: dict, dtype: str) -> np.ndarray:
        shape = tuple(_integer(n, 1, MAX_ELEMENTS) for n in item["shape"])
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if item["dtype"] != dtype or len(shape) > MAX_RANK or n_bytes > len(self.data):
            _refuse(f"an array of {item['dtype']} {shape} where {dtype} is expected, or bytes missing")
        values = np.frombuffer(self.data[:n_bytes], np.dtype(dtype).newbyteorder("<")).reshape(shape)
        self.data = self.data[n_bytes:]
        return values.astype(dtype)
