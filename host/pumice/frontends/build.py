"""Builds float graphs layer by layer, every shape checked: what all front ends for float models share."""

import math
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedModelError
from ..floating import FloatAdd, FloatConv, FloatFunction, FloatGraph, FloatPool
from ..graph import Arrange, Layer, Resize, Softmax, Window
from .fold import fold
from .names import Names

MAX_ELEMENTS = 1 << 24  # of a feature map; more is a forged shape


class FloatBuilder:
    """Methods add a layer that is called ``name``, as is the tensor that it makes.

    Raises
    ------
    ModelError
        Shapes do not fit, values that are not finite, or a name that exists.
    UnsupportedModelError
        Something that the engine cannot do.
    """

    def __init__(self, name: str):
        self.name = name
        self.shapes: dict[str, tuple[int, int, int]] = {}
        self.quantisations: dict[str, tuple[float, int]] = {}
        self.layers: list[Layer] = []

    def input(self, name: str, shape: tuple[int, int, int]) -> str:
        """The network's input."""
        self._declare(name, shape)
        return name

    def conv(
        self, name: str, x: str, weights: np.ndarray, bias: np.ndarray | None, window: Window, *, groups: int = 1,
        kind: str = "conv", weight_scales: np.ndarray | None = None, low: float = -math.inf, high: float = math.inf,
    ) -> str:  # fmt: skip
        """Convolution; fields as in `FloatConv`."""
        n_channels = self.shapes[x][2]
        if weights.ndim != 4 or weights.shape[1:3] != window.kernel or 0 in weights.shape:
            raise ModelError(f"weights of shape {weights.shape} for a kernel of {window.kernel}")
        n_out = len(weights)
        bias = np.zeros(n_out) if bias is None else np.asarray(bias, np.float64)
        if groups < 1 or weights.shape[3] * groups != n_channels or n_out % groups or bias.shape != (n_out,):
            raise ModelError(
                f"weights of shape {weights.shape} and bias of shape {bias.shape} in {groups} groups for "
                f"{n_channels} channels"
            )
        weights = np.ascontiguousarray(weights, np.float64)
        if not (np.all(np.isfinite(weights)) and np.all(np.isfinite(bias))):
            raise ModelError("weights or biases that are not finite")
        return self._layer(
            FloatConv, name, (x,), self._slide(x, window, n_out), window=window, weights=weights, bias=bias,
            groups=groups, kind=kind, weight_scales=weight_scales, low=low, high=high,
        )  # fmt: skip

    def dense(self, name: str, x: str, weights: np.ndarray, bias: np.ndarray | None, **fields: Any) -> str:
        """Fully connected; weights (out, height, width, channels) of the whole input."""
        return self.conv(name, x, weights, bias, Window(kernel=weights.shape[1:3]), kind="dense", **fields)

    def affine(
        self, name: str, x: str, factor: np.ndarray | float = 1.0, addend: np.ndarray | float = 0.0, *,
        low: float = -math.inf, high: float = math.inf,
    ) -> str:  # fmt: skip
        """``clamp(factor * x + addend)``, a factor and an addend for each channel; `fold` merges it where it can."""
        n = self.shapes[x][2]
        weights = np.broadcast_to(np.asarray(factor, np.float64), n).reshape(n, 1, 1, 1)
        bias = np.broadcast_to(np.asarray(addend, np.float64), n)
        if math.isnan(low) or math.isnan(high) or low > high:
            raise ModelError(f"clamps to {low} .. {high}")
        return self.conv(
            name, x, weights, bias, Window(kernel=(1, 1)), groups=n, kind="affine", low=low, high=high
        )  # fmt: skip

    def pool(self, name: str, x: str, window: Window, mode: str, **clamp: float) -> str:
        """Average or maximum."""
        padded = window.pad_top or window.pad_bottom or window.pad_left or window.pad_right
        if mode == "average" and padded:
            raise UnsupportedModelError("averages over padding: use a window that divides the feature map")
        for pad, size in ((max(window.pad_top, window.pad_bottom), 0), (max(window.pad_left, window.pad_right), 1)):
            if pad >= (window.kernel[size] - 1) * window.dilation[size] + 1:
                raise ModelError("pools over padding alone")
        return self._layer(
            FloatPool, name, (x,), self._slide(x, window, self.shapes[x][2]), window=window, mode=mode, **clamp
        )

    def add(self, name: str, a: str, b: str, **clamp: float) -> str:
        """Sum."""
        if self.shapes[a] != self.shapes[b]:
            raise UnsupportedModelError(
                f"adds shapes {self.shapes[a]} and {self.shapes[b]}; only equal shapes are supported"
            )
        return self._layer(FloatAdd, name, (a, b), self.shapes[a], **clamp)

    def softmax(self, name: str, x: str, beta: float = 1.0) -> str:
        """Softmax over the channels."""
        if not (math.isfinite(beta) and beta > 0):
            raise ModelError(f"an impossible beta of {beta}")
        return self._layer(Softmax, name, (x,), self.shapes[x], beta=float(beta))

    def arrange(self, name: str, inputs: tuple[str, ...], index: np.ndarray, kind: str) -> str:
        """Moves values; fields as in `pumice.graph.Arrange`."""
        return self._layer(Arrange, name, inputs, index.shape, index=index.astype(np.int32), kind=kind)

    def resize(self, name: str, x: str, size: tuple[int, int], *, half_pixel: bool, align_corners: bool) -> str:
        """Bilinear, to ``size`` (height, width)."""
        if half_pixel and align_corners:
            raise ModelError("aligns corners and half pixels at once")
        shape = (*size, self.shapes[x][2])
        return self._layer(Resize, name, (x,), shape, size=size, half_pixel=half_pixel, align_corners=align_corners)

    def function(self, name: str, x: str, kind: str, alpha: np.ndarray | float = 0.0) -> str:
        """A function of each value; fields as in `FloatFunction`."""
        alpha = np.asarray(alpha, np.float64).reshape(-1)
        if len(alpha) not in (1, self.shapes[x][2]) or not np.all(np.isfinite(alpha)):
            raise ModelError(f"has {len(alpha)} parameters, or infinite ones, for {self.shapes[x][2]} channels")
        return self._layer(FloatFunction, name, (x,), self.shapes[x], kind=kind, alpha=alpha)

    def finish(
        self,
        source: str,
        outputs: dict[str, tuple[int, ...]],
        input_shape: tuple[int, ...],
        kind: str,
        names: dict[str, str] | None = None,
    ) -> FloatGraph:
        """The graph from tensor ``source`` to ``outputs``, given with their shapes for users; ``kind``: the file's.

        ``names``: what the file calls the outputs, where the graph's tensors are to be called that.
        """
        output, output_shape = next(iter(outputs.items()))
        graph = FloatGraph(
            name=self.name,
            shapes=self.shapes,
            layers=self.layers,
            input=source,
            output=output,
            input_shape=input_shape,
            output_shape=output_shape,
            quantisations=self.quantisations,
            metadata={"format": kind},
            further_outputs={name: shape for name, shape in outputs.items() if name != output},
        )
        fold(graph)
        if not graph.layers:
            raise UnsupportedModelError("the network has no layers")
        made = {source, *(layer.output for layer in graph.layers)}
        graph.shapes = {name: shape for name, shape in self.shapes.items() if name in made}
        own = Names(names or {}, graph.shapes)
        graph.shapes, graph.layers = own.keys(graph.shapes), own.layers(graph.layers)
        graph.quantisations, graph.further_outputs = own.keys(graph.quantisations), own.keys(graph.further_outputs)
        graph.output = own.of(graph.output)
        return graph

    def _slide(self, x: str, window: Window, n_out: int) -> tuple[int, int, int]:
        height, width = window.output_size(*self.shapes[x][:2])
        if min(height, width) < 1:
            raise ModelError(f"a window of {window.kernel} does not fit a map of {self.shapes[x][:2]}")
        return height, width, n_out

    def _layer(self, layer_type: type[Layer], name: str, inputs: tuple[str, ...], shape, **fields: Any) -> str:
        self._declare(name, shape)
        self.layers.append(layer_type(name=name, inputs=inputs, output=name, **fields))
        return name

    def _declare(self, name: str, shape: tuple[int, int, int]) -> None:
        if name in self.shapes:
            raise ModelError(f"tensor {name} has a value already")
        if min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(f"tensor {name} has the impossible shape {shape}")
        self.shapes[name] = shape
