"""ONNX networks to float graphs; quantised ones (QDQ, QLinear) with the quantisation that the file states.

ONNX keeps maps as (batch, channels, height, width) and lets any operator rearrange them. So a computed value is a view:
for each of its elements, the place in the graph's map that holds it. Operators that only rearrange act on that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import LayerCheck, ModelError, UnsupportedModelError
from ..floating import FloatGraph
from ..graph import Window
from .build import MAX_ELEMENTS, FloatBuilder
from .onnx_file import MALFORMED, Node, OnnxFile, read_onnx
from .places import Transposed, depth_to_space, nearest, padded, places, space_to_depth
from .windows import NO_PADDING, make_window, same_padding

HINTS = {
    "Gelu": "use Relu",
    "ArgMax": "end the network before it: the host takes the argmax",
}
DEFAULT_HINT = "replace it in the network, or run the part from it on on the host"

UINT8_OFFSET = 128  # uint8 activations are int8 ones and this


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A computed value: element ``i`` is element ``order[i]`` of the map ``tensor``, flattened; the batch is 1.

    ``padding`` (top, bottom, left, right) is what a Pad has added to it.
    """

    tensor: str
    order: np.ndarray
    padding: tuple[int, int, int, int] = NO_PADDING


@dataclass(frozen=True, kw_only=True, eq=False)
class Constant:
    """Values; ``scales``, of the same shape, where the file holds them as integers times these."""

    values: np.ndarray
    scales: np.ndarray | None = None


def parse_onnx(data: bytes, name: str) -> FloatGraph:
    """Graph of the bytes of an ONNX file; ``name`` is what the graph is called.

    Raises
    ------
    ModelError
        The file is malformed.
    UnsupportedModelError
        It holds something that Pumice cannot run; the message names every such layer.
    """
    try:
        return _Importer(read_onnx(data), name).graph()
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{name}: {error}", error.layers) from error
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


class _Importer:
    def __init__(self, file: OnnxFile, name: str):
        if len(file.inputs) != 1 or not file.outputs:
            raise UnsupportedModelError(
                f"the network has {len(file.inputs)} inputs and {len(file.outputs)} outputs, where 1 input and 1 or "
                "more outputs are supported: join inputs to one, as channels, and slice them apart behind it"
            )
        self.file = file
        ((self.input, self.input_shape),) = file.inputs
        self.builder = FloatBuilder(name)
        self.values: dict[str, View | Constant] = {"": Constant(values=np.empty(0))}
        self.values |= {key: Constant(values=values) for key, values in file.constants.items()}
        self.rules: dict[str, Callable[[Node], Any]] = {  # a view, a constant, or a list of views
            "Conv": self._conv,
            "ConvTranspose": self._conv_transpose,
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "Add": self._add,
            "Sub": self._sub,
            "Mul": self._mul,
            "Div": self._div,
            "BatchNormalization": self._batch_normalization,
            "Relu": self._relu,
            "Clip": self._clip,
            "MaxPool": self._pool,
            "AveragePool": self._pool,
            "GlobalAveragePool": self._global_average_pool,
            "GlobalMaxPool": self._global_max_pool,
            "ReduceMean": self._reduce_mean,
            "Softmax": self._softmax,
            "Pad": self._pad,
            "Constant": self._constant,
            "Shape": self._shape,
            "Gather": self._gather,
            "Concat": self._concat,
            "Slice": self._slice,
            "Split": self._split,
            "DepthToSpace": self._depth_to_space,
            "SpaceToDepth": self._space_to_depth,
            "Resize": self._resize,
            "Upsample": self._resize,
            "LeakyRelu": self._leaky_relu,
            "PRelu": self._prelu,
            "HardSigmoid": self._hard_sigmoid,
            "Elu": self._elu,
            "QuantizeLinear": self._quantize_linear,
            "DequantizeLinear": self._dequantize_linear,
            "QLinearConv": self._qlinear_conv,
            "QLinearMatMul": self._qlinear_matmul,
            "QLinearAdd": self._qlinear_add,
            "QLinearGlobalAveragePool": self._qlinear_global_average_pool,
        } | dict.fromkeys(_ARRANGEMENTS, self._arrange)
        self.rules |= dict.fromkeys(_FUNCTIONS, self._function)

    def graph(self) -> FloatGraph:
        live = self._live_nodes()
        self.values[self.input] = self._input_view(live)
        checks = [self._check(node) for node in live]
        problems = [f"layer {c.name}: {c.operator} {c.problem}" for c in checks if c.problem]
        if problems:
            raise UnsupportedModelError("; ".join(problems), checks)
        outputs, names = {}, {}
        for name in self.file.outputs:
            result = self.values.get(name)
            if not isinstance(result, View):
                raise UnsupportedModelError(f"the output {name} is not computed by a layer", checks)
            if result.padding != NO_PADDING:
                result = self._padded(name, result)
            if result.tensor in outputs:
                raise UnsupportedModelError(f"the network returns {result.tensor} twice: leave one of the outputs out")
            outputs[result.tensor], names[result.tensor] = self._output_shape(result), name
        return self.builder.finish(
            self.input, outputs, self.input_shape, "onnx", names=names if len(outputs) > 1 else None
        )

    # Walk

    def _live_nodes(self) -> list[Node]:
        """Nodes that the output depends on, in the file's order, which the specification says is topological."""
        makers: dict[str, int] = {}
        for i, node in enumerate(self.file.nodes):
            for name in node.outputs:
                if name in makers or name in self.file.constants or name == self.input:
                    raise ModelError(f"{node.operator} makes {name}, which has a value already")
                if name:
                    makers[name] = i
        live: set[int] = set()
        pending = list(self.file.outputs)
        while pending:
            i = makers.get(pending.pop())
            if i is not None and i not in live:
                live.add(i)
                pending += self.file.nodes[i].inputs
        return [self.file.nodes[i] for i in sorted(live)]

    def _check(self, node: Node) -> LayerCheck:
        """Run the rule of ``node``; what it makes is missing from ``values`` if it cannot run."""
        problem = None
        missing = [name for name in node.inputs if name not in self.values]
        if node.operator not in self.rules:
            problem = f"is not supported; {HINTS.get(node.operator, DEFAULT_HINT)}"
        elif missing:
            if not any(missing[0] in other.outputs for other in self.file.nodes):
                raise ModelError(f"layer {node.name}: {node.operator} reads {missing[0]}, which nobody makes")
            problem = f"is not checked: it reads {missing[0]}, which cannot run"
        else:
            try:
                result = self.rules[node.operator](node)
                made = result if isinstance(result, list) else [result]
                self.values |= dict(zip(node.outputs, made, strict=len(made) > 1))
            except UnsupportedModelError as error:
                problem = str(error)
            except (ModelError, *MALFORMED) as error:
                raise ModelError(f"layer {node.name}: {node.operator} is malformed: {error}") from error
        return LayerCheck(node.name, node.operator, problem)

    def _input_view(self, live: list[Node]) -> View:
        """The network's input, laid out as its first reader that computes wants it; `input_shape` for the user."""
        shape = tuple(1 if n < 1 and i == 0 else n for i, n in enumerate(self.input_shape))
        if not 2 <= len(shape) <= 4 or shape[0] != 1 or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise UnsupportedModelError(
                f"the input {self.input} has shape {self.input_shape}: export the network with fixed shapes, "
                "a batch of 1 and one to three more dimensions"
            )
        indices, name = np.arange(math.prod(shape)).reshape(shape), self.input
        first = {node.inputs[0]: node for node in reversed(live) if node.inputs}
        while name in first and first[name].operator in (*_ARRANGEMENTS, "QuantizeLinear", "DequantizeLinear"):
            node = first[name]
            if node.operator in _ARRANGEMENTS:
                try:
                    indices = self._arranged(node, indices)
                except (ModelError, *MALFORMED):
                    break  # reported where it is checked
            name = node.name
        slides = name in first and first[name].operator in _SLIDING
        if len(indices) == 1 and (indices.ndim == 4 or (indices.ndim == 3 and slides)):
            channels, *rows, width = (np.size(indices, axis) for axis in range(1, indices.ndim))
            height = math.prod(rows)
            places = np.arange(indices.size).reshape(height, width, channels).transpose(2, 0, 1)
        else:
            height, width, channels = 1, indices[..., 0].size, np.size(indices, -1)
            places = np.arange(indices.size)
        order = np.empty(indices.size, np.int64)
        order[indices.ravel()] = places.ravel()
        self.builder.input(self.input, (height, width, channels))
        view = View(tensor=self.input, order=order.reshape(shape))
        self.input_shape = self._output_shape(view)
        return view

    def _output_shape(self, view: View) -> tuple[int, ...]:
        """Shape of a view for users: maps are channels last."""
        height, width, channels = self.builder.shapes[view.tensor]
        if _is_identity(view.order):
            return view.order.shape
        if np.array_equal(view.order.ravel(), _channels_first(height, width, channels).ravel()):
            return (1, *((height, width) if view.order.ndim == 4 else (height * width,)), channels)
        raise UnsupportedModelError(
            f"{view.tensor} is rearranged in a way that is neither channels first nor last: leave that to the host"
        )

    # Values

    def _view(self, node: Node, position: int = 0, *, may_be_padded: bool = False) -> View:
        value = self.values[node.inputs[position]]
        if not isinstance(value, View):
            raise UnsupportedModelError("computes with constants only: export the network with constants folded")
        if value.padding != NO_PADDING and not may_be_padded:
            return self._padded(node.inputs[position], value)
        return value

    def _padded(self, name: str, view: View) -> View:
        """A tensor that holds the padding of ``view``, the value ``name``."""
        made = f"{name}/padded"
        if made not in self.builder.shapes:
            top, bottom, left, right = view.padding
            index = padded(places(self.builder.shapes[view.tensor])[0], [(top, bottom), (left, right), (0, 0)])
            self.builder.arrange(made, (view.tensor,), index, "pad")
        return self._made(made)

    def _map(self, node: Node, **options: bool) -> View:
        """An input that must be a feature map, channels first; rearranged where it is not."""
        view = self._view(node, **options)
        if not np.array_equal(view.order.ravel(), _channels_first(*self.builder.shapes[view.tensor]).ravel()):
            if view.order.ndim not in (3, 4) or view.padding != NO_PADDING:
                raise UnsupportedModelError(
                    f"reads {view.tensor} in shape {view.order.shape}, not as (1, channels, height, width)"
                )
            made = f"{node.inputs[0]}/{node.name}"
            return self._moved(made, (view.tensor,), view.order, "transpose")
        if view.order.ndim not in (3, 4):
            raise UnsupportedModelError(
                f"reads {view.tensor} in shape {view.order.shape}, not as (1, channels, height, width)"
            )
        return view

    def _moved(self, name: str, inputs: tuple[str, ...], index: np.ndarray, kind: str) -> View:
        """A tensor that holds the inputs' values at ``index``, which has the shape of the ONNX value."""
        if index.ndim not in (2, 3, 4) or len(index) != 1 or index.size == 0:
            raise UnsupportedModelError(f"makes shape {index.shape}; a batch of 1 and one to three more can run")
        if index.ndim == 2:
            places_last = index.reshape(1, 1, -1)
        else:
            places_last = index.reshape(index.shape[1], *(1, *index.shape[2:])[-2:]).transpose(1, 2, 0)
        if len(inputs) == 1 and places_last.shape == self.builder.shapes[inputs[0]] and _is_identity(places_last):
            made = inputs[0]
        else:
            made = self.builder.arrange(name, inputs, np.ascontiguousarray(places_last), kind)
        return self._made(made, index.shape if index.ndim == 2 else None, index.ndim)

    def _known(self, node: Node, position: int, what: str) -> Constant:
        value = self.values[node.inputs[position]] if position < len(node.inputs) else Constant(values=np.empty(0))
        if not isinstance(value, Constant):
            raise UnsupportedModelError(f"has computed {what}, where a constant is supported")
        return value

    def _optional(self, node: Node, position: int, what: str) -> np.ndarray | None:
        values = self._known(node, position, what).values
        return values if values.size else None

    def _integers(self, node: Node, position: int, attribute: str) -> list[int] | None:
        """Integers that older versions of an operator have as an attribute and newer ones as an input."""
        if attribute in node.attributes:
            return [int(n) for n in node.attributes[attribute]]
        values = self._optional(node, position, attribute)
        return None if values is None else [int(n) for n in values.ravel()]

    def _made(self, tensor: str, shape: tuple[int, ...] | None = None, rank: int = 4) -> View:
        """View of a new tensor: channels first with ``rank`` dimensions, or in ``shape``, row-major."""
        size = self.builder.shapes[tensor]
        if shape is not None:
            return View(tensor=tensor, order=_row_major(size, shape))
        order = _channels_first(*size)
        return View(tensor=tensor, order=order if rank == 4 else order.reshape(1, size[2], -1))

    def _like(self, tensor: str, view: View) -> View:
        return replace(view, tensor=tensor)

    # Layers with weights

    def _conv(self, node: Node) -> View:
        bias = self._optional(node, 2, "bias")
        return self._convolution(node, self._map(node, may_be_padded=True), self._known(node, 1, "weights"), bias)

    def _convolution(self, node: Node, x: View, weights: Constant, bias: np.ndarray | None) -> View:
        values, groups = weights.values, int(node.attributes.get("group", 1))
        if values.ndim != x.order.ndim:
            raise UnsupportedModelError(f"has weights of shape {values.shape} for {x.order.shape}")
        window = self._window(node, x, values.shape[2:])
        values = values.reshape(*values.shape[:2], *window.kernel)
        depthwise = groups > 1 and groups == self.builder.shapes[x.tensor][2]
        made = self.builder.conv(
            node.name, x.tensor, values.transpose(0, 2, 3, 1), bias, window, groups=groups,
            kind="depthwise" if depthwise else "conv", weight_scales=_per_output(weights, 0),
        )  # fmt: skip
        return self._made(made, None, x.order.ndim)

    def _conv_transpose(self, node: Node) -> View:
        x, weights, attributes = self._map(node), self._known(node, 1, "weights"), node.attributes
        rank, groups = x.order.ndim - 2, int(attributes.get("group", 1))
        size = self.builder.shapes[x.tensor]
        if weights.values.ndim != rank + 2 or groups < 1 or len(weights.values) != size[2] or size[2] % groups:
            raise ModelError(f"weights of shape {weights.values.shape} for {size[2]} channels")
        if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in attributes:
            raise UnsupportedModelError("has automatic padding: export it with explicit pads")
        kernel, stride, dilation, extra = (
            (*[value] * (2 - rank), *map(int, attributes.get(name, default)))
            for name, default, value in (
                ("", weights.values.shape[2:], 1),
                ("strides", [1] * rank, 1),
                ("dilations", [1] * rank, 1),
                ("output_padding", [0] * rank, 0),
            )
        )
        pads = [int(n) for n in attributes.get("pads", [0] * (2 * rank))]
        before, behind = ((*[0] * (2 - rank), *half) for half in (pads[:rank], pads[rank:]))
        if min(*stride, *dilation) < 1 or max(*stride) > 16 or min(*before, *behind, *extra) < 0:
            raise UnsupportedModelError(f"has strides {stride}, dilations {dilation}, pads {pads}")
        made = [
            (n - 1) * s + (k - 1) * d + 1 + e - a - b
            for n, s, k, d, e, a, b in zip(size, stride, kernel, dilation, extra, before, behind, strict=False)
        ]
        if min(made) < 1:
            raise ModelError(f"makes a map of {made}")

        def by_output(values: np.ndarray) -> np.ndarray:
            split = values.reshape(groups, size[2] // groups, -1, *kernel)  # group, input, output of the group
            return split.transpose(0, 2, 3, 4, 1).reshape(-1, *kernel, size[2] // groups)

        weights = _rearranged(weights, by_output)
        phases = Transposed(weights.values, size[:2], tuple(made), stride, dilation, before, groups)
        bias, scales = self._optional(node, 2, "bias"), _per_output(weights, 0)
        grid = self.builder.conv(
            f"{node.name}/phases", x.tensor, phases.weights, None if bias is None else bias[phases.outputs],
            phases.window, groups=groups, weight_scales=None if scales is None else scales[phases.outputs],
        )  # fmt: skip
        return self._made(self.builder.arrange(node.name, (grid,), phases.index, "interleave"), None, x.order.ndim)

    def _gemm(self, node: Node) -> View:
        attributes = node.attributes
        if attributes.get("transA", 0):
            raise UnsupportedModelError("transposes its input: export it with transA = 0")
        factor = float(attributes.get("alpha", 1.0))
        weights = self._known(node, 1, "weights")
        if attributes.get("transB", 0):
            weights = _rearranged(weights, np.transpose)
        if factor != 1:
            weights = Constant(values=weights.values * factor)
        bias = self._optional(node, 2, "bias")
        if bias is not None:
            bias = np.broadcast_to(float(attributes.get("beta", 1.0)) * bias, (1, weights.values.shape[1]))[0]
        return self._dense(node, self._view(node), weights, bias)

    def _matmul(self, node: Node) -> View:
        return self._dense(node, self._view(node), self._known(node, 1, "weights"), None)

    def _dense(self, node: Node, x: View, weights: Constant, bias: np.ndarray | None) -> View:
        """``x @ weights``: of the whole map in whatever order, or of each position's channels."""
        values, size = weights.values, self.builder.shapes[x.tensor]
        if values.ndim != 2 or x.order.shape[-1] != len(values):
            raise UnsupportedModelError(f"multiplies shapes {x.order.shape} and {values.shape}")
        scales, n_out = _per_output(weights, 1), values.shape[1]
        if x.order.size == len(values):
            by_place = np.empty_like(values)
            by_place[x.order.ravel()] = values
            made = self.builder.dense(
                node.name, x.tensor, by_place.T.reshape(n_out, *size), bias, weight_scales=scales
            )  # fmt: skip
        elif _is_identity(x.order) and len(values) == size[2]:
            window = Window(kernel=(1, 1))
            by_output = values.T.reshape(n_out, 1, 1, -1)
            made = self.builder.conv(node.name, x.tensor, by_output, bias, window, kind="dense", weight_scales=scales)
        else:
            raise UnsupportedModelError(f"multiplies {x.tensor}, {size}, in another order than channels last")
        return self._made(made, (*x.order.shape[:-1], n_out))

    def _window(self, node: Node, x: View, kernel) -> Window:
        attributes = node.attributes
        stride = attributes.get("strides", [1, 1])
        dilation = attributes.get("dilations", [1, 1])
        automatic, given = attributes.get("auto_pad", "NOTSET"), attributes.get("pads", [0, 0, 0, 0])
        if len(kernel) == 1:
            kernel, stride, dilation = (1, *kernel), [1, *stride[-1:]], [1, *dilation[-1:]]
            given = [0, given[0], 0, given[-1]]
        if not len(kernel) == len(stride) == len(dilation) == 2:
            raise UnsupportedModelError("slides in other than 1 or 2 dimensions")
        height, width, _ = self.builder.shapes[x.tensor]
        top, left, bottom, right = given if automatic == "NOTSET" else NO_PADDING
        own, padded = (top, bottom, left, right), x.padding
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            size = height + padded[0] + padded[1], width + padded[2] + padded[3]
            make_window(kernel, stride, dilation, NO_PADDING)  # sizes that are positive
            own = same_padding(size, kernel, stride, dilation, upper=automatic == "SAME_UPPER")
        elif automatic not in ("NOTSET", "VALID"):
            raise ModelError(f"auto_pad {automatic}")
        top, bottom, left, right = (int(a) + b for a, b in zip(own, padded, strict=True))
        return make_window(kernel, stride, dilation, (top, bottom, left, right))

    # Elementwise

    def _relu(self, node: Node) -> View:
        x = self._view(node)
        return self._like(self.builder.affine(node.name, x.tensor, low=0.0), x)

    def _clip(self, node: Node) -> View:
        x = self._view(node)
        bounds = []
        for position, attribute, default in ((1, "min", -math.inf), (2, "max", math.inf)):
            given = self._optional(node, position, attribute)
            bounds.append(float(node.attributes.get(attribute, default) if given is None else given.item()))
        return self._like(self.builder.affine(node.name, x.tensor, low=bounds[0], high=bounds[1]), x)

    def _add(self, node: Node) -> View:
        values = [self.values[name] for name in node.inputs]
        if all(isinstance(value, View) for value in values):
            return self._sum(node, self._view(node, 0), self._view(node, 1))
        data = int(isinstance(values[0], Constant))
        return self._affine(node, data, lambda constant: (1.0, constant))

    def _sum(self, node: Node, a: View, b: View) -> View:
        if not np.array_equal(a.order, b.order):
            raise UnsupportedModelError(
                f"adds shapes {a.order.shape} and {b.order.shape}, or differently arranged maps"
            )
        return self._like(self.builder.add(node.name, a.tensor, b.tensor), a)

    def _sub(self, node: Node) -> View:
        return self._affine(node, 0, lambda constant: (1.0, -constant))

    def _mul(self, node: Node) -> View:
        return self._affine(
            node, int(isinstance(self.values[node.inputs[0]], Constant)), lambda constant: (constant, 0.0)
        )  # fmt: skip

    def _div(self, node: Node) -> View:
        return self._affine(node, 0, lambda constant: (1.0 / constant, 0.0))

    def _affine(self, node: Node, data: int, rule: Callable[[np.ndarray], tuple[Any, Any]]) -> View:
        """With a constant of one value for each channel: ``rule`` gives factor and addend."""
        if not any(isinstance(self.values[name], Constant) for name in node.inputs):
            raise UnsupportedModelError(
                f"has two computed operands, where {node.operator} with a constant is supported; to combine two maps "
                "so, as a gate does, is none of the engine's layers: run the part from it on on the host"
            )
        x = self._view(node, data)
        by_channel = self._by_channel(x, self._known(node, 1 - data, "second operand").values)
        with np.errstate(divide="ignore"):
            factor, addend = rule(by_channel)
        return self._like(self.builder.affine(node.name, x.tensor, factor, addend), x)

    def _by_channel(self, x: View, constant: np.ndarray) -> np.ndarray:
        """The value of ``constant``, which is broadcast against ``x``, for each channel."""
        if np.broadcast_shapes(constant.shape, x.order.shape) != x.order.shape:
            raise UnsupportedModelError(f"combines shapes {x.order.shape} and {constant.shape}")
        values = np.empty(x.order.size)
        values[x.order.ravel()] = np.broadcast_to(constant, x.order.shape).ravel()
        by_channel = values.reshape(-1, self.builder.shapes[x.tensor][2])
        if np.any(by_channel != by_channel[0]):
            raise UnsupportedModelError("has a constant that differs from position to position of a channel")
        return by_channel[0]

    def _function(self, node: Node) -> View:
        x = self._view(node)
        return self._like(self.builder.function(node.name, x.tensor, _FUNCTIONS[node.operator]), x)

    def _leaky_relu(self, node: Node) -> View:
        x, alpha = self._view(node), float(node.attributes.get("alpha", 0.01))
        return self._like(self.builder.function(node.name, x.tensor, "leaky ReLU", alpha), x)

    def _prelu(self, node: Node) -> View:
        x = self._view(node)
        alpha = self._by_channel(x, self._known(node, 1, "slopes").values)
        return self._like(self.builder.function(node.name, x.tensor, "leaky ReLU", alpha), x)

    def _elu(self, node: Node) -> View:
        x, alpha = self._view(node), float(node.attributes.get("alpha", 1.0))
        return self._like(self.builder.function(node.name, x.tensor, "ELU", alpha), x)

    def _hard_sigmoid(self, node: Node) -> View:
        if node.attributes.get("beta", 0.5) != 0.5:
            raise UnsupportedModelError("has a beta other than 0.5")
        x, alpha = self._view(node), float(node.attributes.get("alpha", 0.2))
        return self._like(self.builder.function(node.name, x.tensor, "hard sigmoid", alpha), x)

    def _batch_normalization(self, node: Node) -> View:
        x = self._view(node)
        if x.order.ndim != 2:
            x = self._map(node)
        scale, bias, mean, variance = (
            self._known(node, i, "parameters").values.astype(np.float64) for i in range(1, 5)
        )  # fmt: skip
        factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
        return self._like(self.builder.affine(node.name, x.tensor, factor, bias - mean * factor), x)

    # Pools and softmax

    def _pool(self, node: Node) -> View:
        x, attributes = self._map(node), node.attributes
        window = self._window(node, x, attributes["kernel_shape"])
        if attributes.get("ceil_mode", 0):
            self._check_ceil(window, self.builder.shapes[x.tensor])
        mode, tensor = "max" if node.operator == "MaxPool" else "average", x.tensor
        pads = [(window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right), (0, 0)]
        if mode == "average" and attributes.get("count_include_pad", 0) and any(map(any, pads)):
            index = padded(places(self.builder.shapes[tensor])[0], pads)
            tensor = self.builder.arrange(f"{node.name}/padded", (tensor,), index, "pad")
            window = replace(window, pad_top=0, pad_bottom=0, pad_left=0, pad_right=0)
        return self._made(self.builder.pool(node.name, tensor, window, mode), None, x.order.ndim)

    @staticmethod
    def _check_ceil(window: Window, shape: tuple[int, int, int]) -> None:
        pads = window.pad_top + window.pad_bottom, window.pad_left + window.pad_right
        for i in range(2):
            if (shape[i] + pads[i] - (window.kernel[i] - 1) * window.dilation[i] - 1) % window.stride[i]:
                raise UnsupportedModelError("has ceil_mode with windows that leave the map: pad the map instead")

    def _global_average_pool(self, node: Node) -> View:
        x = self._map(node)
        return self._made(self._average(node, x), None, x.order.ndim)

    def _global_max_pool(self, node: Node) -> View:
        x = self._map(node)
        window = Window(kernel=self.builder.shapes[x.tensor][:2])
        return self._made(self.builder.pool(node.name, x.tensor, window, "max"), None, x.order.ndim)

    def _average(self, node: Node, x: View) -> str:
        return self.builder.pool(node.name, x.tensor, Window(kernel=self.builder.shapes[x.tensor][:2]), "average")

    def _reduce_mean(self, node: Node) -> View:
        x, axes = self._map(node), self._integers(node, 1, "axes")
        rank = x.order.ndim
        if axes is None or sorted(axis % rank for axis in axes) != list(range(2, rank)):
            raise UnsupportedModelError(f"reduces axes {axes}; means over height and width are supported")
        made = self._average(node, x)
        return self._made(made, None if node.attributes.get("keepdims", 1) else (1, self.builder.shapes[made][2]), rank)

    def _softmax(self, node: Node) -> View:
        x = self._view(node)
        axis, n_channels = int(node.attributes.get("axis", -1)), self.builder.shapes[x.tensor][2]
        rows = np.moveaxis(x.order, axis, -1).reshape(-1, x.order.shape[axis])
        if rows.shape[1] != n_channels or np.any(rows - rows[:, :1] != np.arange(n_channels)):
            raise UnsupportedModelError(f"over axis {axis} of shape {x.order.shape}; over channels is supported")
        return self._like(self.builder.softmax(node.name, x.tensor), x)

    # What computes nothing

    def _arrange(self, node: Node) -> View | Constant:
        value = self.values[node.inputs[0]]
        if isinstance(value, Constant):
            return _rearranged(value, lambda array: self._arranged(node, array))
        return replace(value, order=self._arranged(node, self._view(node).order))

    def _arranged(self, node: Node, array: np.ndarray) -> np.ndarray:
        """``array`` in the order and shape that a node of `_ARRANGEMENTS` gives it."""
        attributes, rank = node.attributes, array.ndim
        match node.operator:
            case "Reshape":
                shape = self._integers(node, 1, "shape") or []
                if not attributes.get("allowzero", 0):
                    shape = [array.shape[i] if n == 0 else n for i, n in enumerate(shape)]
                return array.reshape(shape)
            case "Flatten":
                axis = int(attributes.get("axis", 1))
                return array.reshape(math.prod(array.shape[: axis + rank if axis < 0 else axis]), -1)
            case "Transpose":
                return array.transpose(attributes.get("perm", list(range(rank))[::-1]))
            case "Squeeze":
                axes = self._integers(node, 1, "axes")
                return np.squeeze(array, tuple(axes) if axes is not None else None)
            case "Unsqueeze":
                return np.expand_dims(array, tuple(self._integers(node, 1, "axes") or ()))
            case _:
                return array

    def _constant(self, node: Node) -> Constant:
        for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
            if key in node.attributes:
                return Constant(values=np.asarray(node.attributes[key]))
        raise UnsupportedModelError("holds something else than numbers")

    def _shape(self, node: Node) -> Constant:
        return Constant(values=np.array(self._view(node).order.shape, np.int64))

    def _gather(self, node: Node) -> Constant:
        values = self._known(node, 0, "values").values
        return Constant(values=np.take(values, self._known(node, 1, "indices").values, node.attributes.get("axis", 0)))

    def _concat(self, node: Node) -> View | Constant:
        axis = int(node.attributes["axis"])
        if all(isinstance(self.values[name], Constant) for name in node.inputs):
            return Constant(
                values=np.concatenate([self._known(node, i, "values").values for i in range(len(node.inputs))], axis)
            )
        views = [self._view(node, i) for i in range(len(node.inputs))]
        starts = np.cumsum([0, *(view.order.size for view in views)])
        index = np.concatenate([view.order + start for view, start in zip(views, starts, strict=False)], axis)
        return self._moved(node.name, tuple(view.tensor for view in views), index, "concat")

    def _slice(self, node: Node) -> View | Constant:
        value = self.values[node.inputs[0]]
        starts, ends = self._integers(node, 1, "starts") or [], self._integers(node, 2, "ends") or []
        axes = self._integers(node, 3, "axes") or list(range(len(starts)))
        steps = self._integers(node, 4, "steps") or [1] * len(starts)
        whole = value.values if isinstance(value, Constant) else self._view(node).order
        cut = [slice(None)] * whole.ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            if step < 1:
                raise UnsupportedModelError(f"has step {step}; steps forward are supported")
            cut[axis] = slice(start, end, step)
        if isinstance(value, Constant):
            return Constant(values=whole[tuple(cut)])
        return self._moved(node.name, (value.tensor,), whole[tuple(cut)], "slice")

    def _split(self, node: Node) -> list[View]:
        x, axis = self._view(node), int(node.attributes.get("axis", 0))
        sizes, n = self._integers(node, 1, "split"), len(node.outputs)
        if sizes is None:
            each = -(-x.order.shape[axis] // n)
            sizes = [each] * (n - 1) + [x.order.shape[axis] - each * (n - 1)]
        if len(sizes) != n or min(sizes) < 1 or sum(sizes) != x.order.shape[axis]:
            raise ModelError(f"splits {x.order.shape} into {sizes}")
        parts = np.split(x.order, np.cumsum(sizes)[:-1], axis)
        return [self._moved(name, (x.tensor,), part, "slice") for name, part in zip(node.outputs, parts, strict=True)]

    def _pad(self, node: Node) -> View:
        x, pads = self._view(node, may_be_padded=True), self._integers(node, 1, "pads")
        value, rank = self._optional(node, 2, "value"), x.order.ndim
        mode = node.attributes.get("mode", "constant")
        level = float(node.attributes.get("value", 0.0) if value is None else value.item())
        axes = self._integers(node, 3, "axes") or list(range(rank))
        if pads is None or len(pads) != 2 * len(axes):
            raise ModelError(f"pads {pads} of {rank} dimensions")
        if mode == "constant" and level != 0:
            raise UnsupportedModelError("pads with something else than 0")
        amounts = [(0, 0)] * rank
        for i, axis in enumerate(axes):
            amounts[axis] = pads[i], pads[i + len(axes)]
        is_map = np.array_equal(x.order, _channels_first(*self.builder.shapes[x.tensor]))
        if is_map and mode == "constant" and not any(map(any, amounts[:2])) and min(map(min, amounts)) >= 0:
            top, bottom, left, right = x.padding
            (a, b), (c, d) = amounts[2:]
            return replace(x, padding=(top + a, bottom + b, left + c, right + d))
        x = self._view(node)
        return self._moved(node.name, (x.tensor,), padded(x.order, amounts, mode), "pad")

    def _depth_to_space(self, node: Node) -> View:
        x, block = self._map(node), int(node.attributes["blocksize"])
        outermost = node.attributes.get("mode", "DCR") == "CRD"
        index = depth_to_space(places(self.builder.shapes[x.tensor])[0], block, channels_outermost=outermost)
        return self._made(self.builder.arrange(node.name, (x.tensor,), index, "depth to space"))

    def _space_to_depth(self, node: Node) -> View:
        x, block = self._map(node), int(node.attributes["blocksize"])
        index = space_to_depth(places(self.builder.shapes[x.tensor])[0], block)
        return self._made(self.builder.arrange(node.name, (x.tensor,), index, "space to depth"))

    def _resize(self, node: Node) -> View:
        x, attributes = self._map(node), node.attributes
        size, rank = self.builder.shapes[x.tensor], x.order.ndim
        mode = attributes.get("mode", "nearest")
        place = attributes.get("coordinate_transformation_mode", "half_pixel")
        if node.operator == "Upsample":
            place, scales, sizes = "asymmetric", self._optional(node, 1, "scales"), None
        else:
            scales, sizes = self._optional(node, 2, "scales"), self._optional(node, 3, "sizes")
        if attributes.get("antialias", 0) or "axes" in attributes:
            raise UnsupportedModelError("resizes some axes only, or with antialiasing")
        if sizes is None:
            exact = np.asarray(x.order.shape) * (np.ones(rank) if scales is None else scales.astype(np.float64))
            sizes = np.floor(exact + 1e-6).astype(np.int64)
            if np.any(np.abs(sizes - exact) > 1e-4):
                raise UnsupportedModelError(f"scales {x.order.shape} by {scales}: use scales that give whole sizes")
        made = [int(n) for n in sizes]
        if len(made) != rank or made[:2] != list(x.order.shape[:2]) or min(made) < 1 or max(made) > MAX_SIDE:
            raise UnsupportedModelError(f"resizes {x.order.shape} to {made}; height and width can be resized")
        target = 1 if rank == 3 else made[2], made[-1]
        if mode == "nearest":
            rounding = attributes.get("nearest_mode", "round_prefer_floor" if node.operator == "Resize" else "floor")
            rows, columns = (_nearest(n, m, place, rounding) for n, m in zip(size[:2], target, strict=True))
            index = nearest(places(size)[0], rows, columns)
            return self._made(self.builder.arrange(node.name, (x.tensor,), index, "nearest"), None, rank)
        if mode not in ("linear", "bilinear") or place not in _PLACES:
            raise UnsupportedModelError(f"has mode {mode}, {place}; nearest and linear are supported")
        resized = self.builder.resize(node.name, x.tensor, target, **_PLACES[place])
        return self._made(resized, None, rank)

    # Quantised networks

    def _quantize_linear(self, node: Node) -> View | Constant:
        value = self.values[node.inputs[0]]
        if isinstance(value, Constant):
            raise UnsupportedModelError("quantises a constant: export the network with constants folded")
        return self._annotate(value, self._known(node, 1, "scale").values, self._optional(node, 2, "zero point"))

    def _dequantize_linear(self, node: Node) -> View | Constant:
        value, scale = self.values[node.inputs[0]], self._known(node, 1, "scale").values
        zero_point = self._optional(node, 2, "zero point")
        if isinstance(value, View):
            return self._annotate(value, scale, zero_point)
        return _dequantised(value.values, scale, zero_point, int(node.attributes.get("axis", 1)))

    def _annotate(self, view: View, scale: np.ndarray, zero_point: np.ndarray | None) -> View:
        """State the quantisation of a tensor."""
        if scale.size != 1 or (zero_point is not None and (zero_point.size != 1 or zero_point.dtype.itemsize != 1)):
            raise UnsupportedModelError("quantises activations by channel or to more than 8 bits; use 8 bits by tensor")
        is_signed = zero_point is not None and zero_point.dtype == np.int8
        offset = (0 if zero_point is None else int(zero_point.item())) - (0 if is_signed else UINT8_OFFSET)
        stated = (float(scale.item()), offset)
        if not (math.isfinite(stated[0]) and stated[0] > 0):
            raise ModelError(f"scale {stated[0]}")
        if self.builder.quantisations.setdefault(view.tensor, stated) != stated:
            raise UnsupportedModelError(f"requantises {view.tensor}: quantise it the same way for all its readers")
        return view

    def _quantised(self, node: Node, position: int, view: View) -> View:
        """``view``, quantised as the scale and zero point at ``position`` say."""
        scale = self._known(node, position, "scale").values
        return self._annotate(view, scale, self._optional(node, position + 1, "zero point"))

    def _weights(self, node: Node, position: int, axis: int) -> Constant:
        """Weights, their scale and zero point from ``position`` on."""
        values, scale = (self._known(node, position + i, "weights").values for i in range(2))
        return _dequantised(values, scale, self._optional(node, position + 2, "zero point"), axis)

    def _qlinear_conv(self, node: Node) -> View:
        x = self._quantised(node, 1, self._map(node, may_be_padded=True))
        weights, bias = self._weights(node, 3, 0), self._optional(node, 8, "bias")
        weight_scales = _per_output(weights, 0)
        if bias is not None and weight_scales is not None:
            bias = bias * (self.builder.quantisations[x.tensor][0] * weight_scales)
        return self._quantised(node, 6, self._convolution(node, x, weights, bias))

    def _qlinear_matmul(self, node: Node) -> View:
        x = self._quantised(node, 1, self._view(node))
        return self._quantised(node, 6, self._dense(node, x, self._weights(node, 3, 1), None))

    def _qlinear_add(self, node: Node) -> View:
        a = self._quantised(node, 1, self._view(node, 0))
        b = self._quantised(node, 4, self._view(node, 3))
        return self._quantised(node, 6, self._sum(node, a, b))

    def _qlinear_global_average_pool(self, node: Node) -> View:
        if node.attributes.get("channels_last", 0):
            raise UnsupportedModelError("is channels last: export it channels first")
        x = self._quantised(node, 1, self._map(node))
        return self._quantised(node, 3, self._made(self._average(node, x)))


MAX_SIDE = 1 << 14
_SLIDING = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Pad", "Resize")
_FUNCTIONS = {"Sigmoid": "logistic", "Tanh": "tanh", "HardSwish": "hard swish"}
_PLACES = {
    "half_pixel": {"half_pixel": True, "align_corners": False},
    "pytorch_half_pixel": {"half_pixel": True, "align_corners": False},
    "align_corners": {"half_pixel": False, "align_corners": True},
    "asymmetric": {"half_pixel": False, "align_corners": False},
}
"""Where `pumice.graph.Resize` finds values for a coordinate_transformation_mode."""
_ARRANGEMENTS = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast")


def _nearest(size: int, made: int, place: str, rounding: str) -> np.ndarray:
    """Which of ``size`` values each of ``made`` is."""
    if place not in _PLACES or rounding not in _ROUNDINGS:
        raise UnsupportedModelError(f"has mode nearest, {place}, {rounding}")
    position = np.arange(made)
    if place == "align_corners":
        exact = position * ((size - 1) / (made - 1)) if made > 1 else position * 0.0
    elif place == "asymmetric":
        exact = position * (size / made)
    else:
        exact = (position + 0.5) * (size / made) - 0.5
    return np.clip(_ROUNDINGS[rounding](exact), 0, size - 1).astype(np.int64)


_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _is_identity(order: np.ndarray) -> bool:
    return np.array_equal(order.ravel(), np.arange(order.size))


def _channels_first(height: int, width: int, channels: int) -> np.ndarray:
    """Order of a whole map seen as (1, channels, height, width)."""
    return np.arange(height * width * channels).reshape(1, height, width, channels).transpose(0, 3, 1, 2)


def _row_major(size: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(size)).reshape(shape)


def _rearranged(constant: Constant, arrange: Callable[[np.ndarray], np.ndarray]) -> Constant:
    scales = None if constant.scales is None else arrange(constant.scales)
    return Constant(values=arrange(constant.values), scales=scales)


def _dequantised(values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None, axis: int) -> Constant:
    """Real values of integers, ``scale`` and ``zero_point`` being scalars or along ``axis``."""

    def spread(parameter: np.ndarray) -> np.ndarray:
        shape = [1] * values.ndim
        if parameter.size > 1:
            shape[axis] = parameter.size
        return np.broadcast_to(parameter.astype(np.float64).reshape(shape), values.shape)

    offset = 0.0 if zero_point is None else spread(zero_point)
    scales = spread(scale)
    return Constant(values=(values.astype(np.float64) - offset) * scales, scales=scales)


def _per_output(weights: Constant, axis: int) -> np.ndarray | None:
    """The scale of each index of ``axis``, if the file states any."""
    return None if weights.scales is None else _scales(weights.scales, axis)


def _scales(scales: np.ndarray, axis: int) -> np.ndarray:
    by_output = np.moveaxis(scales, axis, 0).reshape(scales.shape[axis], -1)
    if np.any(by_output != by_output[:, :1]):
        raise UnsupportedModelError("has weights quantised along another axis than that of the outputs")
    return by_output[:, 0].copy()
