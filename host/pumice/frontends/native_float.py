"""Pumice's own file of a float network (``PUMF``), made as that of an int8 network is: see `pumice.frontends.native`.

Arrays are float32, which holds the places of an arrangement exactly. What the original file said about scales is not
kept: the network is to be quantised.
"""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedModelError
from ..floating import FUNCTIONS, FloatAdd, FloatConv, FloatFunction, FloatGraph, FloatPool
from ..graph import Arrange, Layer, Resize, Softmax, Window
from .build import FloatBuilder
from .native import pack, unpack
from .windows import make_window

MAGIC = b"PUMF"
KINDS: dict[type[Layer], str] = {
    FloatConv: "conv",
    FloatPool: "pool",
    FloatAdd: "add",
    Softmax: "softmax",
    Arrange: "arrange",
    Resize: "resize",
    FloatFunction: "function",
}
CONV_KINDS = ("conv", "depthwise", "dense", "affine")
MAX_RANK = 4


def save_float_graph(graph: FloatGraph, path: str | Path) -> None:
    """Write a file that `parse_float_native` reads. Raises UnsupportedModelError for a layer that it cannot hold."""
    Path(path).write_bytes(float_graph_bytes(graph))


def float_graph_bytes(graph: FloatGraph) -> bytes:
    """The file's contents."""
    arrays: list[np.ndarray] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value.astype(np.float32))
            return list(value.shape)
        return asdict(value) if isinstance(value, Window) else value

    layers = []
    for layer in graph.layers:
        if type(layer) not in KINDS:
            raise UnsupportedModelError(f"layer {layer.name}: {type(layer).__name__} cannot be written to a float file")
        fields = {key: plain(value) for key, value in vars(layer).items() if key != "weight_scales"}
        layers.append({"type": KINDS[type(layer)]} | fields)
    own = {"name": graph.name, "input": graph.input, "input_map": graph.shapes[graph.input]}
    outputs = {graph.output: graph.output_shape} | graph.further_outputs
    shapes = {"input_shape": graph.input_shape, "outputs": outputs}
    return pack(MAGIC, json.dumps(own | shapes | {"layers": layers}).encode(), arrays)


def parse_float_native(data: bytes) -> FloatGraph:
    """The network of a file's bytes, whatever they are.

    Raises
    ------
    ModelError
        Truncated, damaged, of another version, or holding something that no network can hold.
    """
    text, arrays = unpack(data, MAGIC)
    try:
        return _Reader(arrays).graph(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(f"the network file is malformed: {error!r}") from error


class _Reader:
    """``data``: the arrays that have not been read yet."""

    def __init__(self, data: bytes):
        self.data = data

    def graph(self, entry: dict) -> FloatGraph:
        builder = FloatBuilder(_text(entry["name"]))
        height, width, channels = _sizes(entry["input_map"])
        source = builder.input(_text(entry["input"]), (height, width, channels))
        names = {}
        for item in entry["layers"]:
            names[self._add(builder, item)] = _text(item["name"])
        if len(set(names.values())) != len(names):
            raise ModelError("the network file is malformed: two layers of one name")
        outputs = {_text(tensor): _sizes(shape) for tensor, shape in entry["outputs"].items()}
        input_shape = _sizes(entry["input_shape"])
        if not outputs:
            raise ModelError("the network file is malformed: no outputs")
        for tensor, shape in [(source, input_shape), *outputs.items()]:
            if math.prod(shape) != math.prod(builder.shapes[tensor]):
                raise ModelError(f"the network file is malformed: shape {shape} for tensor {tensor}")
        graph = builder.finish(source, outputs, input_shape, "pumf")
        graph.layers = [replace(layer, name=names[layer.output]) for layer in graph.layers]
        if self.data:
            raise ModelError("the network file is malformed: something follows the arrays")
        return graph

    def _add(self, builder: FloatBuilder, item: dict) -> str:
        """Add a layer, named as its tensor, and return that name."""
        kind, name, inputs = item["type"], _text(item["output"]), [_text(x) for x in item["inputs"]]
        if kind == "softmax":
            (x,) = inputs
            return builder.softmax(name, x, float(item["beta"]))
        if kind == "arrange":
            return self._arrange(builder, name, tuple(inputs), item)
        if kind == "resize":
            (x,), (height, width) = inputs, _sizes(item["size"])
            modes = {mode: bool(item[mode]) for mode in ("half_pixel", "align_corners")}
            return builder.resize(name, x, (height, width), **modes)
        if kind == "function" and item["kind"] in FUNCTIONS:
            (x,) = inputs
            return builder.function(name, x, item["kind"], self._array(item["alpha"]))
        clamp = {"low": float(item["low"]), "high": float(item["high"])}
        if not clamp["low"] <= clamp["high"]:
            raise ModelError(f"layer {name} clamps to {clamp['low']} .. {clamp['high']}")
        if kind == "add":
            a, b = inputs
            return builder.add(name, a, b, **clamp)
        (x,) = inputs
        window = _window(item["window"])
        if kind == "pool" and item["mode"] in ("average", "max"):
            return builder.pool(name, x, window, item["mode"], **clamp)
        if kind != "conv" or item["kind"] not in CONV_KINDS or type(item["groups"]) is not int:
            raise ModelError(f"the network file is malformed: layer {name} of kind {kind!r}")
        weights, bias = self._array(item["weights"]), self._array(item["bias"])
        return builder.conv(
            name, x, weights, bias, window, groups=item["groups"], kind=item["kind"], low=clamp["low"],
            high=clamp["high"],
        )  # fmt: skip

    def _arrange(self, builder: FloatBuilder, name: str, inputs: tuple[str, ...], item: dict) -> str:
        index = self._array(item["index"]).astype(np.int64)
        n_values = sum(math.prod(builder.shapes[x]) for x in inputs)
        if index.ndim != 3 or not inputs or index.min() < -1 or index.max() >= n_values:
            raise ModelError(f"the network file is malformed: layer {name} takes places outside of its inputs")
        return builder.arrange(name, inputs, index, _text(item["kind"]))

    def _array(self, shape: list) -> np.ndarray:
        sizes = _sizes(shape)
        n_bytes = math.prod(sizes) * np.dtype(np.float32).itemsize
        if len(sizes) > MAX_RANK or n_bytes > len(self.data):
            raise ModelError(f"the network file is malformed: no array of shape {shape}")
        values = np.frombuffer(self.data[:n_bytes], "<f4").reshape(sizes).astype(np.float64)
        self.data = self.data[n_bytes:]
        return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ModelError(f"the network file is malformed: {value!r} where text is expected")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if not all(type(n) is int and n >= 1 for n in values):
        raise ModelError(f"the network file is malformed: {values!r} where sizes are expected")
    return tuple(values)


def _window(item: dict) -> Window:
    kernel, stride, dilation = (_sizes(item[key]) for key in ("kernel", "stride", "dilation"))
    top, bottom, left, right = (int(item[key]) for key in ("pad_top", "pad_bottom", "pad_left", "pad_right"))
    return make_window(kernel, stride, dilation, (top, bottom, left, right))
