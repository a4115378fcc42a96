"""Int8 TensorFlow Lite networks to graphs. The schema's file is read by `tflite_file`; its meaning is stated here.

Float networks differ in `tflite_float`.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from ..errors import LayerCheck, ModelError, UnsupportedModelError
from ..floating import FloatGraph
from ..graph import Add, Conv, Graph, Layer, Pool, Softmax, Tensor, Window
from ..quantise import clamp_bound
from ..spec.numerics import MAX_SHIFT
from .tflite_constants import fold_constants
from .tflite_file import FileOperator, FileTensor, TfliteFile, read_tflite
from .windows import NO_PADDING, make_window, same_padding

HINTS = {
    "LOGISTIC": "use RELU or RELU6, or leave a last one to the host",
    "TANH": "use RELU or RELU6",
    "HARD_SWISH": "use RELU or RELU6",
    "RELU": "let the converter fuse it into the layer before it",
    "RELU6": "let the converter fuse it into the layer before it",
    "MUL": "fold it into the weights of the layer before it",
    "SUB": "fold a constant into the bias of the layer before it",
}
DEFAULT_HINT = "replace it in the network, or run the part from it on on the host"

ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: (-math.inf, math.inf),
    tflite.ActivationFunctionType.RELU: (0.0, math.inf),
    tflite.ActivationFunctionType.RELU6: (0.0, 6.0),
    tflite.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}
"""Range of real values that a fused activation leaves."""

VIEWS = ("RESHAPE", "DEQUANTIZE")
"""Operators whose result may be the network's output without being computed."""


def load_tflite(path: str | Path) -> Graph | FloatGraph:
    """Read a ``.tflite`` file, int8 or float.

    Raises
    ------
    OSError
        The file cannot be read.
    ModelError
        It is no TensorFlow Lite file, or malformed.
    UnsupportedModelError
        It holds something that Pumice cannot run; the message names every such layer.
    """
    path = Path(path)
    return parse_tflite(path.read_bytes(), path.stem)


def parse_tflite(data: bytes, name: str) -> Graph | FloatGraph:
    """Graph of the bytes of a ``.tflite`` file; ``name`` is what the graph is called. Raises as `load_tflite`."""
    from .tflite_float import FloatImporter

    try:
        file = fold_constants(read_tflite(data))
        is_float = any(t.dtype == "FLOAT32" for t in file.tensors) and not any(
            tensor.dtype == "INT8" and tensor.data is None for tensor in file.tensors
        )
        return (FloatImporter if is_float else Importer)(file, name).graph()
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{name}: {error}", error.layers) from error
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


class Importer:
    """Builds a graph from the operators that the network's output depends on.

    ``names`` maps a tensor of the file to the graph's tensor that holds its values: RESHAPE, PAD and the conversions at
    the borders make no tensor of their own. ``padding`` holds what a PAD adds (top, bottom, left, right) to them.

    Class attributes: the types of feature maps, weights and biases; operators whose inputs are two feature maps.
    """

    dtype = weight_dtype = "INT8"
    bias_dtype = "INT32"
    two_inputs: tuple[str, ...] = ("ADD",)

    def __init__(self, file: TfliteFile, name: str):
        self.file, self.name, self.rules = file, name, self._rules()
        for what, indices in (("inputs", file.inputs), ("outputs", file.outputs)):
            if len(indices) != 1:
                checks = self._checks(file.operators, {})
                problems = [f"the network has {len(indices)} {what}, where 1 is supported", *_problems(checks)]
                raise UnsupportedModelError("; ".join(problems), checks)
        self.input, self.output = file.inputs[0], file.outputs[0]
        self.operators = self._live_operators()
        self.n_readers = Counter(i for op in self.operators for i in self._data_inputs(op))
        self.n_views = Counter(i for op in self.operators if op.operator in VIEWS for i in self._data_inputs(op))
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.padding: dict[int, tuple[int, int, int, int]] = {}

    def _rules(self) -> dict[str, Callable[[FileOperator], Layer | None]]:
        return {
            "CONV_2D": self._conv_2d,
            "DEPTHWISE_CONV_2D": self._depthwise_conv_2d,
            "FULLY_CONNECTED": self._fully_connected,
            "ADD": self._add,
            "AVERAGE_POOL_2D": self._pool_2d,
            "MAX_POOL_2D": self._pool_2d,
            "MEAN": self._mean,
            "SOFTMAX": self._softmax,
            "RESHAPE": self._reshape,
            "PAD": self._pad,
            "QUANTIZE": self._quantize,
            "DEQUANTIZE": self._dequantize,
        }

    def graph(self) -> Graph | FloatGraph:
        """The graph; raises as `load_tflite`."""
        self._check_operators()
        self._check_activations()
        if self.file.tensors[self.input].dtype == self.dtype:
            self._declare(self.input)
        layers = self._layers()
        if self.output in self.padding:
            raise UnsupportedModelError(f"tensor {self.file.tensors[self.output].name}, the output, is that of a PAD")
        return self._finish(layers)

    def _finish(self, layers: list[Layer]) -> Graph | FloatGraph:
        if not layers:
            raise UnsupportedModelError("the network has no layers")
        return Graph(
            name=self.name,
            tensors=self.tensors,
            layers=layers,
            input=next(iter(self.tensors)),
            output=self._source(self.output, "the network's output"),
            input_shape=self.file.tensors[self.input].shape,
            output_shape=self.file.tensors[self.output].shape,
            metadata={"format": "tflite"},
        )

    # Which operators, and whether all of them can run

    def _data_inputs(self, op: FileOperator) -> tuple[int, ...]:
        """Inputs that are feature maps; weights, shapes and axes must be constants."""
        if op.operator not in self.rules:
            return tuple(i for i in op.inputs if i >= 0 and self.file.tensors[i].data is None)
        n_inputs = 2 if op.operator in self.two_inputs else 1
        if len(op.inputs) < n_inputs or min(op.inputs[:n_inputs]) < 0:
            raise ModelError(f"layer {self._label(op)}: {op.operator} needs {n_inputs} inputs, not {len(op.inputs)}")
        return op.inputs[:n_inputs]

    def _live_operators(self) -> list[FileOperator]:
        """Operators that the output depends on, in the file's order, which must be that of execution."""
        makers: dict[int, FileOperator] = {}
        order = {}
        for i, op in enumerate(self.file.operators):
            for tensor in op.outputs:
                if tensor in makers or tensor == self.input or self.file.tensors[tensor].data is not None:
                    raise ModelError(f"operator {i} ({op.operator}) makes tensor {tensor}, which has a value already")
                makers[tensor], order[id(op)] = op, i
        live: dict[int, FileOperator] = {}
        pending = [self.output]
        while pending:
            op = makers.get(pending.pop())
            if op is not None and order[id(op)] not in live:
                live[order[id(op)]] = op
                pending += self._data_inputs(op)
        return [live[i] for i in sorted(live)]

    def _check_operators(self) -> None:
        checks = self._checks(self.operators, {})
        unsupported = _problems(checks)
        if unsupported:
            raise UnsupportedModelError("; ".join(unsupported) + f" (supported: {', '.join(self.rules)})", checks)
        for op in self.operators:
            if len(op.outputs) != 1:
                raise ModelError(f"layer {self._label(op)}: {op.operator} must have 1 output, not {len(op.outputs)}")

    def _checks(self, operators: list[FileOperator], problems: dict[int, str]) -> list[LayerCheck]:
        """All operators; ``problems`` by output tensor, besides operators without a rule."""
        missing = {
            op.operator: f"is not supported; {HINTS.get(op.operator, DEFAULT_HINT)}"
            for op in operators
            if op.operator not in self.rules
        }
        return [
            LayerCheck(
                self._label(op),
                op.operator,
                problems.get(op.outputs[0] if op.outputs else -1, missing.get(op.operator)),
            )
            for op in operators
        ]

    def _check_activations(self) -> None:
        """Every feature map is of `dtype`, of a known shape, with batch 1; float is allowed at the borders."""
        borders = {i for op in self.operators if op.operator == "QUANTIZE" for i in op.inputs[:1] if i == self.input}
        borders |= {i for op in self.operators if op.operator == "DEQUANTIZE" for i in op.outputs if i == self.output}
        inputs_and_outputs = (i for op in self.operators for i in (*self._data_inputs(op), *op.outputs))
        for i in dict.fromkeys((self.input, *inputs_and_outputs, self.output)):
            tensor = self.file.tensors[i]
            if tensor.data is not None:
                continue  # refused by the layer that reads it
            if tensor.dtype != self.dtype and not (i in borders and tensor.dtype == "FLOAT32"):
                raise UnsupportedModelError(
                    f"the network computes in {tensor.dtype} (tensor {tensor.name}), and only int8 and float32 are "
                    "supported: convert it to float32, or with full integer quantisation to int8"
                )
            if min(tensor.shape, default=1) < 1:
                raise UnsupportedModelError(
                    f"tensor {tensor.name} has the dynamic shape {tensor.shape}: convert the network with fixed shapes"
                )
            if not 2 <= len(tensor.shape) <= 4 or tensor.shape[0] != 1:
                raise UnsupportedModelError(
                    f"tensor {tensor.name} has shape {tensor.shape}, where a batch of 1 and one to three more "
                    "dimensions are supported: convert the network with a batch of 1"
                )

    def _layers(self) -> list[Layer]:
        layers, problems = [], {}
        for op in self.operators:
            try:
                layer = self.rules[op.operator](op)
                if layer is not None:
                    layers.append(layer)
            except UnsupportedModelError as error:
                problems[op.outputs[0]] = str(error)
                self._declare(op.outputs[0])  # so that the layers behind it are checked too
        if problems:
            raise UnsupportedModelError("; ".join(problems.values()), self._checks(self.operators, problems))
        return layers

    # Tensors

    def _label(self, op: FileOperator) -> str:
        return self.file.tensors[op.outputs[0]].name if op.outputs else "without output"

    def _unsupported(self, op: FileOperator, why: str) -> UnsupportedModelError:
        return UnsupportedModelError(f"layer {self._label(op)}: {op.operator} {why}")

    def _malformed(self, op: FileOperator, why: str) -> ModelError:
        return ModelError(f"layer {self._label(op)}: {op.operator} {why}")

    def _map_shape(self, index: int) -> tuple[int, int, int]:
        """(height, width, channels) of a tensor; missing dimensions are the first ones."""
        height, width, channels = (1, 1, *self.file.tensors[index].shape[1:])[-3:]
        return height, width, channels

    def _declare(self, index: int) -> Tensor:
        """Add a tensor of the file to the graph."""
        tensor = self.file.tensors[index]
        scale, zero_point = self._quantisation(tensor)
        made = Tensor(name=tensor.name, shape=self._map_shape(index), scale=scale, zero_point=zero_point)
        self.tensors[tensor.name], self.names[index] = made, tensor.name
        return made

    def _quantisation(self, tensor: FileTensor) -> tuple[float, int]:
        if len(tensor.scales) != 1:
            raise ModelError(f"tensor {tensor.name} must have one scale, not {len(tensor.scales)}")
        scale, zero_point = float(tensor.scales[0]), int(tensor.zero_points[0])
        if not (math.isfinite(scale) and scale > 0) or not -128 <= zero_point <= 127:
            raise ModelError(f"tensor {tensor.name}: impossible scale {scale} or zero point {zero_point}")
        return scale, zero_point

    def _alias(self, op: FileOperator) -> Tensor:
        """Let the output of ``op`` stand for its input; returns the graph's tensor."""
        tensor = self._flat_input(op)
        self.names[op.outputs[0]] = tensor.name
        return tensor

    def _source(self, index: int, reader: str) -> str:
        if index not in self.names:
            raise ModelError(f"{reader} reads tensor {self.file.tensors[index].name} before it is made")
        return self.names[index]

    def _flat_input(self, op: FileOperator) -> Tensor:
        """Feature map that ``op`` reads, whatever it has been reshaped to."""
        if op.inputs[0] in self.padding:
            raise self._unsupported(op, "reads the output of a PAD; only convolutions can")
        return self.tensors[self._source(op.inputs[0], f"layer {self._label(op)}")]

    def _input(self, op: FileOperator, position: int = 0, *, may_be_padded: bool = False) -> Tensor:
        """Feature map that ``op`` reads, in its own shape."""
        index = op.inputs[position]
        tensor = self.tensors[self._source(index, f"layer {self._label(op)}")]
        if index in self.padding and not may_be_padded:
            raise self._unsupported(op, "reads the output of a PAD; only convolutions can")
        top, bottom, left, right = self.padding.get(index, NO_PADDING)
        height, width, channels = tensor.shape
        shape = self._map_shape(index)
        if shape != (height + top + bottom, width + left + right, channels):
            raise self._unsupported(
                op, f"reads {tensor.name} reshaped from {tensor.shape} to {shape}; only FULLY_CONNECTED can"
            )
        return tensor

    def _constant(
        self, op: FileOperator, position: int, what: str, dtypes: tuple[str, ...], *ranks: int
    ) -> tuple[FileTensor, np.ndarray]:
        """A constant input and its values."""
        if len(op.inputs) <= position or op.inputs[position] < 0:
            raise self._malformed(op, f"has no {what}")
        tensor = self.file.tensors[op.inputs[position]]
        if tensor.dtype not in dtypes or tensor.data is None:
            found = "computed" if tensor.data is None and tensor.dtype in dtypes else tensor.dtype
            raise self._unsupported(op, f"has {found} {what}, where constant {' or '.join(dtypes)} is supported")
        if len(tensor.shape) not in ranks or 0 in tensor.shape:
            raise self._malformed(op, f"has {what} of shape {tensor.shape}; dimensions expected: {ranks}")
        return tensor, tensor.data

    def _clamp(self, op: FileOperator, output: Tensor) -> dict[str, Any]:
        """``low`` and ``high`` of the fused activation."""
        code = op.options["FusedActivationFunction"]
        if code not in ACTIVATIONS:
            raise self._unsupported(op, f"has fused activation {code}; use RELU, RELU6 or RELU_N1_TO_1")
        low, high = ACTIVATIONS[code]
        return {"low": clamp_bound(low, output), "high": clamp_bound(high, output)}

    def _names(self, op: FileOperator, output: Tensor, *inputs: Tensor) -> dict[str, Any]:
        return {"name": output.name, "inputs": tuple(tensor.name for tensor in inputs), "output": output.name}

    # Layers

    def _conv_2d(self, op: FileOperator) -> Layer | None:
        x = self._input(op, may_be_padded=True)
        weights, values = self._constant(op, 1, "weights", (self.weight_dtype,), 4)
        n_out, _, _, group_channels = weights.shape
        if x.shape[2] % group_channels or n_out % (x.shape[2] // group_channels):
            raise self._malformed(op, f"has weights of shape {weights.shape} for {x.shape[2]} channels")
        groups = x.shape[2] // group_channels
        return self._convolution(op, x, weights, values, 0, groups, "conv")

    def _depthwise_conv_2d(self, op: FileOperator) -> Layer | None:
        x = self._input(op, may_be_padded=True)
        weights, values = self._constant(op, 1, "weights", (self.weight_dtype,), 4)
        if weights.shape[0] != 1 or weights.shape[3] % x.shape[2]:
            raise self._malformed(op, f"has weights of shape {weights.shape} for {x.shape[2]} channels")
        by_output = np.ascontiguousarray(values.transpose(3, 1, 2, 0))
        return self._convolution(op, x, weights, by_output, 3, x.shape[2], "depthwise")

    def _convolution(
        self, op: FileOperator, x: Tensor, weights: FileTensor, by_output, axis, groups, kind
    ) -> Layer | None:
        dilation = op.options["DilationHFactor"], op.options["DilationWFactor"]
        window = self._window(op, by_output.shape[1:3], dilation, self.padding.get(op.inputs[0], NO_PADDING))
        return self._weighted(op, x, weights, by_output, axis, window, groups, kind)

    def _fully_connected(self, op: FileOperator) -> Layer | None:
        if op.options["WeightsFormat"] != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
            raise self._unsupported(op, "has shuffled weights: convert it with weights in the default format")
        x = self._flat_input(op)
        weights, values = self._constant(op, 1, "weights", (self.weight_dtype,), 2)
        n_out, n_in = weights.shape
        height, width, channels = x.shape
        if n_in == height * width * channels:
            window = Window(kernel=(height, width))
        elif n_in == channels:
            window = Window(kernel=(1, 1))
        else:
            raise self._malformed(op, f"has weights of shape {weights.shape} for an input of shape {x.shape}")
        by_output = values.reshape(n_out, *window.kernel, channels)
        return self._weighted(op, x, weights, by_output, 0, window, 1, "dense")

    def _weighted(
        self, op, x: Tensor, weights: FileTensor, by_output, axis, window: Window, groups, kind
    ) -> Layer | None:
        n_out = len(by_output)
        if np.any(weights.zero_points):
            raise self._unsupported(op, "has weights with a zero point other than 0: convert it with symmetric weights")
        if not len(weights.scales) or (len(weights.scales) > 1 and weights.axis != axis):
            raise self._malformed(op, f"needs one weight scale, or one for each index of dimension {axis}")
        output = self._made(op, (*window.output_size(*x.shape[:2]), n_out))
        scales = np.broadcast_to(x.scale * weights.scales / output.scale, n_out).copy()
        if not (np.all(np.isfinite(scales)) and np.all(scales >= 0) and np.all(scales < 1 << MAX_SHIFT)):
            raise self._malformed(op, "has impossible weight scales")
        return Conv(
            **self._names(op, output, x),
            **self._clamp(op, output),
            window=window,
            weights=by_output,
            bias=self._bias(op, n_out),
            scales=scales,
            groups=groups,
            kind=kind,
            single_rounding=kind == "dense",
        )

    def _bias(self, op: FileOperator, n_out: int) -> np.ndarray:
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return np.zeros(n_out, np.int32)
        bias, values = self._constant(op, 2, "bias", (self.bias_dtype,), 1)
        if bias.shape != (n_out,):
            raise self._malformed(op, f"has a bias of shape {bias.shape} for {n_out} outputs")
        return np.array(values)

    def _window(self, op: FileOperator, kernel, dilation, padded) -> Window:
        """Window of a sliding operator whose input has been padded by ``padded`` (top, bottom, left, right)."""
        stride = op.options["StrideH"], op.options["StrideW"]
        if min(*kernel, *stride, *dilation) < 1:
            raise self._malformed(
                op, f"has kernel {kernel}, stride {stride}, dilation {dilation}; all must be positive"
            )
        own = NO_PADDING
        if op.options["Padding"] == tflite.Padding.SAME:
            own = same_padding(self._map_shape(op.inputs[0])[:2], kernel, stride, dilation)
        elif op.options["Padding"] != tflite.Padding.VALID:
            raise self._malformed(op, f"has padding {op.options['Padding']}; 0 (SAME) and 1 (VALID) are possible")
        top, bottom, left, right = (a + b for a, b in zip(own, padded, strict=True))
        try:
            return make_window(kernel, stride, dilation, (top, bottom, left, right))
        except UnsupportedModelError as error:
            raise self._unsupported(op, str(error)) from error

    def _made(self, op: FileOperator, shape: tuple[int, int, int]) -> Tensor:
        """The output of ``op``, whose shape follows from its inputs."""
        if self._map_shape(op.outputs[0]) != shape:
            raise self._malformed(op, f"makes shape {shape}, but the file says {self._map_shape(op.outputs[0])}")
        return self._declare(op.outputs[0])

    def _pool_2d(self, op: FileOperator) -> Layer | None:
        x = self._input(op)
        kernel = op.options["FilterHeight"], op.options["FilterWidth"]
        window = self._window(op, kernel, (1, 1), NO_PADDING)
        return self._pool(op, x, window, "max" if op.operator == "MAX_POOL_2D" else "average")

    def _pool(self, op: FileOperator, x: Tensor, window: Window, mode: str) -> Layer | None:
        output = self._made(op, (*window.output_size(*x.shape[:2]), x.shape[2]))
        if mode == "average" and (window.pad_top or window.pad_bottom or window.pad_left or window.pad_right):
            raise self._unsupported(op, "averages over padding: use a window that divides the feature map, or VALID")
        if mode == "max" and (x.scale, x.zero_point) != (output.scale, output.zero_point):
            raise self._malformed(op, "must have the same scale and zero point on both sides")
        self._check_ratio(op, x, output)
        clamp = self._clamp(op, output) if op.options else {}
        return Pool(**self._names(op, output, x), **clamp, window=window, mode=mode)

    def _mean(self, op: FileOperator) -> Layer | None:
        x = self._input(op)
        axes = self._constant(op, 1, "axes", ("INT32",), 0, 1)[1].ravel()
        rank = len(self.file.tensors[op.inputs[0]].shape)
        reduced = {int(axis) % rank - rank + 3 for axis in axes if -rank <= axis < rank}  # as indices of x.shape
        if len(reduced) != len(axes) or not reduced or not reduced <= {0, 1}:
            raise self._unsupported(op, f"reduces axes {axes.tolist()}; means over height and width are supported")
        kernel = x.shape[0] if 0 in reduced else 1, x.shape[1] if 1 in reduced else 1
        return self._pool(op, x, Window(kernel=kernel), "average")

    def _add(self, op: FileOperator) -> Layer:
        if any(self.file.tensors[i].data is not None for i in op.inputs[:2]):
            raise self._unsupported(op, "adds a constant: fold it into the bias of the layer before it")
        a, b = self._input(op, 0), self._input(op, 1)
        if a.shape != b.shape:
            raise self._unsupported(op, f"adds shapes {a.shape} and {b.shape}; only equal shapes are supported")
        output = self._made(op, a.shape)
        self._check_ratio(op, a, output)
        self._check_ratio(op, b, output)
        return Add(**self._names(op, output, a, b), **self._clamp(op, output))

    def _check_ratio(self, op: FileOperator, x: Tensor, output: Tensor) -> None:
        if x.scale / output.scale >= 1 << MAX_SHIFT:
            raise self._malformed(op, f"has impossible scales {x.scale} and {output.scale}")

    def _softmax(self, op: FileOperator) -> Layer | None:
        x = self._input(op)
        beta = op.options["Beta"]
        if not (math.isfinite(beta) and beta > 0):
            raise self._malformed(op, f"has an impossible beta of {beta}")
        if self.n_readers[op.outputs[0]] > self.n_views[op.outputs[0]]:
            raise self._unsupported(op, "is not the last layer: only a last one, which runs on the host, is supported")
        output = self._made(op, x.shape)
        return Softmax(**self._names(op, output, x), beta=float(beta))

    # Operators that compute nothing

    def _reshape(self, op: FileOperator) -> None:
        source, result = (self.file.tensors[i] for i in (op.inputs[0], op.outputs[0]))
        if math.prod(source.shape) != math.prod(result.shape) or self._quantisation(source) != self._quantisation(
            result
        ):
            raise self._malformed(op, f"changes size or quantisation: {source.shape} to {result.shape}")
        tensor = self._alias(op)
        if op.inputs[0] == self.input and self.n_readers[self.input] == 1:  # the host lays the input out
            self.tensors[tensor.name] = replace(tensor, shape=self._map_shape(op.outputs[0]))

    def _pad(self, op: FileOperator) -> None:
        x = self._input(op)
        source, result = (self.file.tensors[i] for i in (op.inputs[0], op.outputs[0]))
        if len(source.shape) != 4 or self._quantisation(source) != self._quantisation(result):
            raise self._malformed(op, "must have 4 dimensions and the same scale and zero point on both sides")
        _, amounts = self._constant(op, 1, "paddings", ("INT32", "INT64"), 2)
        if amounts.shape != (4, 2) or amounts.min() < 0:
            raise self._malformed(op, f"has impossible paddings {amounts.tolist()}")
        batch, rows, columns, channels = amounts.tolist()
        if any(batch + channels):
            raise self._unsupported(op, f"pads {amounts.tolist()}; only height and width can be padded")
        shape = (x.shape[0] + sum(rows), x.shape[1] + sum(columns), x.shape[2])
        if self._map_shape(op.outputs[0]) != shape:
            raise self._malformed(op, f"makes shape {shape}, but the file says {self._map_shape(op.outputs[0])}")
        self._alias(op)
        self.padding[op.outputs[0]] = (*rows, *columns)

    def _quantize(self, op: FileOperator) -> None:
        if op.inputs[0] != self.input or self.input in self.names or self.n_readers[self.input] != 1:
            raise self._unsupported(op, "is not the conversion of a float input, the only one that is supported")
        self._declare(op.outputs[0])

    def _dequantize(self, op: FileOperator) -> None:
        if op.outputs[0] != self.output:
            raise self._unsupported(op, "is not the conversion to a float output, the only one that is supported")
        self._alias(op)


def _problems(checks: list[LayerCheck]) -> list[str]:
    return [f"layer {check.name}: {check.operator} {check.problem}" for check in checks if check.problem]
