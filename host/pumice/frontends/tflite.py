"""Int8 TensorFlow Lite networks to graphs. The schema's file is read by `tflite_file`; its meaning is stated here.

Float networks differ in `tflite_float`.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tflite

from ..errors import LayerCheck, ModelError, UnsupportedModelError
from ..floating import FloatFunction, FloatGraph
from ..graph import Add, Arrange, Conv, Graph, Layer, Pool, Resize, Softmax, Tensor, Window
from ..quantise import clamp_bound, function_table
from ..spec.numerics import MAX_SHIFT
from .names import Names, with_short_names
from .places import Transposed, padded, places
from .tflite_constants import fold_constants
from .tflite_file import FileOperator, FileTensor, TfliteFile, read_tflite
from .tflite_moves import move_rules, pad_amounts
from .windows import NO_PADDING, make_window, same_padding

HINTS = {
    "MUL": "fold a constant into the weights of the layer before it; a product of two maps, such as a gate, is none "
    "of the engine's layers: run the part from it on on the host",
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

VIEWS = ("RESHAPE", "DEQUANTIZE", "SQUEEZE", "EXPAND_DIMS")
"""Operators whose result may be the network's output without being computed."""

ANY_SHAPE = ("FULLY_CONNECTED", *VIEWS)
"""Operators that read a map whatever it has been reshaped to."""

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
CLAMPS = {"RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


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
    data_inputs: ClassVar[dict[str, tuple[int, ...]]] = {"ADD": (0, 1), "TRANSPOSE_CONV": (2,)}

    def __init__(self, file: TfliteFile, name: str):
        self.file, self.name, self.rules = file, name, self._rules()
        if len(file.inputs) != 1 or not file.outputs:
            checks = self._checks(file.operators, {})
            problem = (
                f"the network has {len(file.inputs)} inputs and {len(file.outputs)} outputs, where 1 input and 1 or "
                "more outputs are supported: join inputs to one, as channels, and slice them apart behind it"
            )
            raise UnsupportedModelError("; ".join([problem, *_problems(checks)]), checks)
        self.input, self.outputs = file.inputs[0], tuple(dict.fromkeys(file.outputs))
        self.operators = self._live_operators()
        self.n_readers = Counter(i for op in self.operators for i in self._data_inputs(op))
        self.readers: dict[int, list[str]] = {}
        for op in self.operators:
            for i in self._data_inputs(op):
                self.readers.setdefault(i, []).append(op.operator)
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
            "SQUEEZE": self._reshape,
            "EXPAND_DIMS": self._reshape,
            "PAD": self._pad,
            "PADV2": self._pad,
            "QUANTIZE": self._quantize,
            "DEQUANTIZE": self._dequantize,
            **dict.fromkeys(CLAMPS, self._standalone_clamp),
            **move_rules(self),
        }

    def graph(self) -> Graph | FloatGraph:
        """The graph; raises as `load_tflite`."""
        self._check_operators()
        self._check_activations()
        if self.file.tensors[self.input].dtype == self.dtype:
            self._declare(self.input)
        layers = self._layers()
        return self._finish(layers)

    def _finish(self, layers: list[Layer]) -> Graph | FloatGraph:
        if not layers:
            raise UnsupportedModelError("the network has no layers")
        own = Names(self._output_names(), self.tensors)
        outputs = own.keys(self._outputs())
        output, *further = outputs
        tensors = {own.of(name): replace(tensor, name=own.of(name)) for name, tensor in self.tensors.items()}
        return Graph(
            name=self.name,
            tensors=tensors,
            layers=with_short_names(own.layers(layers)),
            input=next(iter(self.tensors)),
            output=output,
            input_shape=self.file.tensors[self.input].shape,
            output_shape=outputs[output],
            metadata={"format": "tflite"},
            further_outputs={name: outputs[name] for name in further},
        )

    def _output_names(self) -> dict[str, str]:
        """What the file calls the graph's outputs, if there are several."""
        if len(self.outputs) == 1:
            return {}
        return {self._source(i, "the network's output"): self.file.tensors[i].name for i in self.outputs}

    def _outputs(self) -> dict[str, tuple[int, ...]]:
        """The graph's outputs, and their shapes in the file."""
        outputs: dict[str, tuple[int, ...]] = {}
        for i in self.outputs:
            name = self._source(i, "the network's output")
            if name in outputs:
                raise UnsupportedModelError(f"the network returns {name} twice: leave one of the outputs out")
            outputs[name] = self.file.tensors[i].shape
        return outputs

    # Which operators, and whether all of them can run

    def _data_inputs(self, op: FileOperator) -> tuple[int, ...]:
        """Inputs that are feature maps; weights, shapes and axes must be constants."""
        if op.operator not in self.rules:
            return tuple(i for i in op.inputs if i >= 0 and self.file.tensors[i].data is None)
        positions = self.data_inputs.get(op.operator, (0,))
        if op.operator == "CONCATENATION":
            positions = tuple(range(max(1, len(op.inputs))))
        if len(op.inputs) <= max(positions) or any(op.inputs[i] < 0 for i in positions):
            raise ModelError(
                f"layer {self._label(op)}: {op.operator} needs {max(positions) + 1} inputs, not {len(op.inputs)}"
            )
        return tuple(op.inputs[i] for i in positions)

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
        pending = list(self.outputs)
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
        borders |= {i for op in self.operators if op.operator == "DEQUANTIZE" for i in op.outputs if i in self.outputs}
        inputs_and_outputs = (i for op in self.operators for i in (*self._data_inputs(op), *op.outputs))
        for i in dict.fromkeys((self.input, *inputs_and_outputs, *self.outputs)):
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
                    layers += layer if isinstance(layer, list) else [layer]
            except UnsupportedModelError as error:
                problems[op.outputs[0]] = str(error)
                self._declare(op.outputs[0])  # so that the layers behind it are checked too
        if problems:
            raise UnsupportedModelError("; ".join(problems.values()), self._checks(self.operators, problems))
        return layers

    # Tensors

    def _label(self, op: FileOperator) -> str:
        return self.file.tensors[op.outputs[0]].name if op.outputs else "without output"

    def unsupported(self, op: FileOperator, why: str) -> UnsupportedModelError:
        """What to raise where ``op`` cannot run."""
        return UnsupportedModelError(f"layer {self._label(op)}: {op.operator} {why}")

    def malformed(self, op: FileOperator, why: str) -> ModelError:
        """What to raise where ``op`` contradicts itself."""
        return ModelError(f"layer {self._label(op)}: {op.operator} {why}")

    def map_shape(self, index: int) -> tuple[int, int, int]:
        """(height, width, channels) of a tensor; missing dimensions are the first ones."""
        height, width, channels = (1, 1, *self.file.tensors[index].shape[1:])[-3:]
        return height, width, channels

    def _declare(self, index: int) -> Tensor:
        """Add a tensor of the file to the graph."""
        tensor = self.file.tensors[index]
        scale, zero_point = self._quantisation(tensor)
        made = Tensor(name=tensor.name, shape=self.map_shape(index), scale=scale, zero_point=zero_point)
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
        return self.tensors[self._source(op.inputs[0], f"layer {self._label(op)}")]

    def map_input(self, op: FileOperator, position: int = 0) -> Tensor:
        """Feature map that ``op`` reads, in its own shape."""
        index = op.inputs[position]
        if self.file.tensors[index].data is not None:
            raise self.unsupported(op, "computes with a constant map")
        tensor = self.tensors[self._source(index, f"layer {self._label(op)}")]
        top, bottom, left, right = self.padding.get(index, NO_PADDING)
        height, width, channels = tensor.shape
        shape = self.map_shape(index)
        if shape != (height + top + bottom, width + left + right, channels):
            raise self.unsupported(
                op, f"reads {tensor.name} reshaped from {tensor.shape} to {shape}; only FULLY_CONNECTED can"
            )
        return tensor

    def constant(
        self, op: FileOperator, position: int, what: str, dtypes: tuple[str, ...], *ranks: int
    ) -> tuple[FileTensor, np.ndarray]:
        """A constant input and its values."""
        if len(op.inputs) <= position or op.inputs[position] < 0:
            raise self.malformed(op, f"has no {what}")
        tensor = self.file.tensors[op.inputs[position]]
        if tensor.dtype not in dtypes or tensor.data is None:
            found = "computed" if tensor.data is None and tensor.dtype in dtypes else tensor.dtype
            raise self.unsupported(op, f"has {found} {what}, where constant {' or '.join(dtypes)} is supported")
        if len(tensor.shape) not in ranks or 0 in tensor.shape:
            raise self.malformed(op, f"has {what} of shape {tensor.shape}; dimensions expected: {ranks}")
        return tensor, tensor.data

    def _clamp(self, op: FileOperator, output: Tensor) -> dict[str, Any]:
        """``low`` and ``high`` of the fused activation."""
        code = op.options["FusedActivationFunction"]
        if code not in ACTIVATIONS:
            raise self.unsupported(op, f"has fused activation {code}; use RELU, RELU6 or RELU_N1_TO_1")
        low, high = ACTIVATIONS[code]
        return {"low": clamp_bound(low, output), "high": clamp_bound(high, output)}

    def _names(self, op: FileOperator, output: Tensor, *inputs: Tensor) -> dict[str, Any]:
        return {"name": output.name, "inputs": tuple(tensor.name for tensor in inputs), "output": output.name}

    # Layers

    def _conv_2d(self, op: FileOperator) -> Layer | None:
        x = self.map_input(op)
        weights, values = self.constant(op, 1, "weights", (self.weight_dtype,), 4)
        n_out, _, _, group_channels = weights.shape
        if x.shape[2] % group_channels or n_out % (x.shape[2] // group_channels):
            raise self.malformed(op, f"has weights of shape {weights.shape} for {x.shape[2]} channels")
        groups = x.shape[2] // group_channels
        return self._convolution(op, x, weights, values, 0, groups, "conv")

    def _depthwise_conv_2d(self, op: FileOperator) -> Layer | None:
        x = self.map_input(op)
        weights, values = self.constant(op, 1, "weights", (self.weight_dtype,), 4)
        if weights.shape[0] != 1 or weights.shape[3] % x.shape[2]:
            raise self.malformed(op, f"has weights of shape {weights.shape} for {x.shape[2]} channels")
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
            raise self.unsupported(op, "has shuffled weights: convert it with weights in the default format")
        x = self._flat_input(op)
        weights, values = self.constant(op, 1, "weights", (self.weight_dtype,), 2)
        n_out, n_in = weights.shape
        height, width, channels = x.shape
        if n_in == height * width * channels:
            window = Window(kernel=(height, width))
        elif n_in == channels:
            window = Window(kernel=(1, 1))
        else:
            raise self.malformed(op, f"has weights of shape {weights.shape} for an input of shape {x.shape}")
        by_output = values.reshape(n_out, *window.kernel, channels)
        return self._weighted(op, x, weights, by_output, 0, window, 1, "dense")

    def _weighted(
        self, op, x: Tensor, weights: FileTensor, by_output, axis, window: Window, groups, kind
    ) -> Layer | None:
        n_out = len(by_output)
        if np.any(weights.zero_points):
            raise self.unsupported(op, "has weights with a zero point other than 0: convert it with symmetric weights")
        if not len(weights.scales) or (len(weights.scales) > 1 and weights.axis != axis):
            raise self.malformed(op, f"needs one weight scale, or one for each index of dimension {axis}")
        output = self._made(op, (*window.output_size(*x.shape[:2]), n_out))
        scales = np.broadcast_to(x.scale * weights.scales / output.scale, n_out).copy()
        self._check_scales(op, scales)
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

    def _check_scales(self, op: FileOperator, scales: np.ndarray) -> None:
        if not (np.all(np.isfinite(scales)) and np.all(scales >= 0) and np.all(scales < 1 << MAX_SHIFT)):
            raise self.malformed(op, "has impossible weight scales")

    def _bias(self, op: FileOperator, n_out: int, position: int = 2) -> np.ndarray:
        if len(op.inputs) <= position or op.inputs[position] < 0:
            return np.zeros(n_out, np.int32)
        bias, values = self.constant(op, position, "bias", (self.bias_dtype,), 1)
        if bias.shape != (n_out,):
            raise self.malformed(op, f"has a bias of shape {bias.shape} for {n_out} outputs")
        return np.array(values)

    def _window(self, op: FileOperator, kernel, dilation, padded) -> Window:
        """Window of a sliding operator whose input has been padded by ``padded`` (top, bottom, left, right)."""
        stride = op.options["StrideH"], op.options["StrideW"]
        if min(*kernel, *stride, *dilation) < 1:
            raise self.malformed(op, f"has kernel {kernel}, stride {stride}, dilation {dilation}; all must be positive")
        own = NO_PADDING
        if op.options["Padding"] == tflite.Padding.SAME:
            own = same_padding(self.map_shape(op.inputs[0])[:2], kernel, stride, dilation)
        elif op.options["Padding"] != tflite.Padding.VALID:
            raise self.malformed(op, f"has padding {op.options['Padding']}; 0 (SAME) and 1 (VALID) are possible")
        top, bottom, left, right = (a + b for a, b in zip(own, padded, strict=True))
        try:
            return make_window(kernel, stride, dilation, (top, bottom, left, right))
        except UnsupportedModelError as error:
            raise self.unsupported(op, str(error)) from error

    def _made(self, op: FileOperator, shape: tuple[int, int, int]) -> Tensor:
        """The output of ``op``, whose shape follows from its inputs."""
        if self.map_shape(op.outputs[0]) != shape:
            raise self.malformed(op, f"makes shape {shape}, but the file says {self.map_shape(op.outputs[0])}")
        return self._declare(op.outputs[0])

    def _pool_2d(self, op: FileOperator) -> Layer | None:
        x = self.map_input(op)
        kernel = op.options["FilterHeight"], op.options["FilterWidth"]
        window = self._window(op, kernel, (1, 1), NO_PADDING)
        return self._pool(op, x, window, "max" if op.operator == "MAX_POOL_2D" else "average")

    def _pool(self, op: FileOperator, x: Tensor, window: Window, mode: str) -> Layer | None:
        output = self._made(op, (*window.output_size(*x.shape[:2]), x.shape[2]))
        if mode == "average" and (window.pad_top or window.pad_bottom or window.pad_left or window.pad_right):
            raise self.unsupported(op, "averages over padding: use a window that divides the feature map, or VALID")
        if mode == "max" and (x.scale, x.zero_point) != (output.scale, output.zero_point):
            raise self.malformed(op, "must have the same scale and zero point on both sides")
        self._check_ratio(op, x, output)
        clamp = self._clamp(op, output) if op.options else {}
        return Pool(**self._names(op, output, x), **clamp, window=window, mode=mode)

    def _mean(self, op: FileOperator) -> Layer | None:
        x = self.map_input(op)
        axes = self.constant(op, 1, "axes", ("INT32",), 0, 1)[1].ravel()
        rank = len(self.file.tensors[op.inputs[0]].shape)
        reduced = {int(axis) % rank - rank + 3 for axis in axes if -rank <= axis < rank}  # as indices of x.shape
        if len(reduced) != len(axes) or not reduced or not reduced <= {0, 1}:
            raise self.unsupported(op, f"reduces axes {axes.tolist()}; means over height and width are supported")
        kernel = x.shape[0] if 0 in reduced else 1, x.shape[1] if 1 in reduced else 1
        return self._pool(op, x, Window(kernel=kernel), "average")

    def _add(self, op: FileOperator) -> Layer:
        if any(self.file.tensors[i].data is not None for i in op.inputs[:2]):
            raise self.unsupported(op, "adds a constant: fold it into the bias of the layer before it")
        a, b = self.map_input(op, 0), self.map_input(op, 1)
        if a.shape != b.shape:
            raise self.unsupported(op, f"adds shapes {a.shape} and {b.shape}; only equal shapes are supported")
        output = self._made(op, a.shape)
        self._check_ratio(op, a, output)
        self._check_ratio(op, b, output)
        return Add(**self._names(op, output, a, b), **self._clamp(op, output))

    def _check_ratio(self, op: FileOperator, x: Tensor, output: Tensor) -> None:
        if x.scale / output.scale >= 1 << MAX_SHIFT:
            raise self.malformed(op, f"has impossible scales {x.scale} and {output.scale}")

    def _softmax(self, op: FileOperator) -> Layer | None:
        x = self.map_input(op)
        beta = op.options["Beta"]
        if not (math.isfinite(beta) and beta > 0):
            raise self.malformed(op, f"has an impossible beta of {beta}")
        output = self._made(op, x.shape)
        return Softmax(**self._names(op, output, x), beta=float(beta))

    # Operators that compute nothing

    def _reshape(self, op: FileOperator) -> Layer | None:
        source, result = (self.file.tensors[i] for i in (op.inputs[0], op.outputs[0]))
        if math.prod(source.shape) != math.prod(result.shape) or self._quantisation(source) != self._quantisation(
            result
        ):
            raise self.malformed(op, f"changes size or quantisation: {source.shape} to {result.shape}")
        tensor, made = self._flat_input(op), self.map_shape(op.outputs[0])
        if op.inputs[0] == self.input and self.n_readers[self.input] == 1:  # the host lays the input out
            self._alias(op)
            self.tensors[tensor.name] = replace(tensor, shape=made)
            return None
        if tensor.shape != made and any(reader not in ANY_SHAPE for reader in self.readers.get(op.outputs[0], ())):
            (index,) = places(tensor.shape)
            return self.move(op, [tensor], lambda: index.reshape(made), "reshape")
        self._alias(op)
        return None

    def _pad(self, op: FileOperator) -> Layer | None:
        x, amounts = self.map_input(op), pad_amounts(self, op)
        source, result = (self.file.tensors[i] for i in (op.inputs[0], op.outputs[0]))
        if self._quantisation(source) != self._quantisation(result):
            raise self.malformed(op, "must have the same scale and zero point on both sides")
        if op.operator == "PADV2":
            self._check_pad_value(op, x)
        shape = tuple(size + sum(pair) for size, pair in zip(x.shape, amounts, strict=True))
        if self.map_shape(op.outputs[0]) != shape:
            raise self.malformed(op, f"makes shape {shape}, but the file says {self.map_shape(op.outputs[0])}")
        readers = self.readers.get(op.outputs[0], [])
        is_window = readers and all(reader in CONVOLUTIONS for reader in readers) and amounts[2] == (0, 0)
        if not is_window or op.outputs[0] in self.outputs or op.inputs[0] in self.padding:
            return self.move(op, [x], lambda: padded(places(x.shape)[0], amounts), "pad")
        self._alias(op)
        self.padding[op.outputs[0]] = (*amounts[0], *amounts[1])
        return None

    def _check_pad_value(self, op: FileOperator, x: Tensor) -> None:
        value = float(self.constant(op, 2, "value", (self.dtype,), 0, 1)[1].ravel()[0])
        if value != (x.zero_point if self.dtype == "INT8" else 0.0):
            raise self.unsupported(op, f"pads with {value}; only zeros are supported")

    # What moves values or maps each by a function

    def move(self, op: FileOperator, inputs: list[Tensor], index: Callable[[], np.ndarray], kind: str) -> Layer | None:
        """The output of ``op`` is its inputs' values at ``index()``."""
        try:
            moved = index()
        except ModelError as error:
            raise type(error)(f"layer {self._label(op)}: {op.operator} {error}") from error
        except (ValueError, IndexError) as error:
            raise self.malformed(op, f"does not fit: {error}") from error
        if moved.ndim != 3 or moved.size == 0:
            raise self.malformed(op, f"makes shape {moved.shape}")
        output = self._made(op, moved.shape)
        for x in inputs:
            self._check_ratio(op, x, output)
        return Arrange(**self._names(op, output, *inputs), index=moved.astype(np.int32), kind=kind)

    def resize(self, op: FileOperator, x: Tensor, size: tuple[int, int], modes: dict[str, bool]) -> Layer | None:
        """Bilinear; ``modes`` as in `pumice.graph.Resize`."""
        output = self._made(op, (*size, x.shape[2]))
        if (x.scale, x.zero_point) != (output.scale, output.zero_point):
            raise self.malformed(op, "must have the same scale and zero point on both sides")
        return Resize(
            **self._names(op, output, x),
            size=size,
            half_pixel=modes["half_pixel"],
            align_corners=modes["align_corners"],
        )

    def function(self, op: FileOperator, x: Tensor, kind: str, alpha: np.ndarray) -> Layer | None:
        """As `pumice.floating.FloatFunction`."""
        if not np.all(np.isfinite(alpha)):
            raise self.malformed(op, f"has an impossible parameter of {alpha}")
        output = self._made(op, x.shape)
        layer = FloatFunction(**self._names(op, output, x), kind=kind, alpha=alpha)
        return function_table(layer, x, output)

    def transposed(self, op: FileOperator, x: Tensor, weights: FileTensor, phases: Transposed) -> list[Layer] | None:
        """A convolution that makes all phases, and their arrangement."""
        n_out = len(weights.scales)
        if np.any(weights.zero_points) or n_out not in (1, weights.shape[0]) or (n_out > 1 and weights.axis != 0):
            raise self.unsupported(op, "needs symmetric weights with one scale, or one for each output channel")
        output = self._made(op, phases.index.shape)
        grid = replace(
            output, name=f"{output.name}/phases", shape=(*phases.window.output_size(*x.shape[:2]), len(phases.outputs))
        )
        self.tensors[grid.name] = grid
        scales = np.broadcast_to(x.scale * weights.scales / output.scale, weights.shape[0])
        self._check_scales(op, scales)
        conv = Conv(
            name=grid.name,
            inputs=(x.name,),
            output=grid.name,
            window=phases.window,
            weights=phases.weights,
            bias=self._bias(op, weights.shape[0], 3)[phases.outputs],
            scales=scales[phases.outputs],
            **self._clamp(op, output),
        )
        return [conv, Arrange(**self._names(op, output, grid), index=phases.index.astype(np.int32), kind="interleave")]

    def _standalone_clamp(self, op: FileOperator) -> Layer | None:
        x = self.map_input(op)
        output = self._made(op, x.shape)
        self._check_ratio(op, x, output)
        low, high = (clamp_bound(bound, output) for bound in CLAMPS[op.operator])
        return Pool(**self._names(op, output, x), window=Window(kernel=(1, 1)), mode="average", low=low, high=high)

    def _quantize(self, op: FileOperator) -> Layer | None:
        if op.inputs[0] in self.names:  # of integers to others
            x = self.map_input(op)
            output = self._made(op, x.shape)
            self._check_ratio(op, x, output)
            return Pool(**self._names(op, output, x), window=Window(kernel=(1, 1)), mode="average")
        if op.inputs[0] != self.input or self.n_readers[self.input] != 1:
            raise self.unsupported(op, "is not the conversion of a float input, the only one that is supported")
        self._declare(op.outputs[0])
        return None

    def _dequantize(self, op: FileOperator) -> None:
        if op.outputs[0] not in self.outputs:
            raise self.unsupported(op, "is not the conversion to a float output, the only one that is supported")
        self._alias(op)


def _problems(checks: list[LayerCheck]) -> list[str]:
    return [f"layer {check.name}: {check.operator} {check.problem}" for check in checks if check.problem]
