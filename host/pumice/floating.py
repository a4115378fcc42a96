"""Float networks: the layers of `pumice.graph` with real weights, and what they compute.

Front ends for float models build a `FloatGraph`, and `pumice.quantise` makes an int8 graph of it. Maps are laid out as
in `pumice.graph`: ``(height, width, channels)``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from .golden import window_taps
from .graph import Arrange, Layer, Resize, Softmax, Window

BATCH_CHUNK = 32  # samples at a time: keeps the feature maps of a large network in memory


@dataclass(frozen=True, kw_only=True)
class Clamped(Layer):
    """A layer whose results are clamped to ``low`` .. ``high`` (fused activation), real values."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatConv(Clamped):
    """Convolution, depthwise, fully connected, or ``affine``: a factor and an addend for each channel.

    Attributes
    ----------
    weights : ndarray of float, (out_channels, kernel height, kernel width, in_channels / groups)
    bias : ndarray of float, (out_channels,)
    kind : str
        ``conv``, ``depthwise``, ``dense`` or ``affine``.
    weight_scales : ndarray of float, (out_channels,), or None
        Where the model file holds the weights as int8: what they have been multiplied by.
    """

    window: Window
    weights: np.ndarray
    bias: np.ndarray
    groups: int = 1
    kind: str = "conv"
    weight_scales: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class FloatPool(Clamped):
    """Average or maximum over a window (``mode``: ``average`` or ``max``). Average: no padding."""

    window: Window
    mode: str


@dataclass(frozen=True, kw_only=True)
class FloatAdd(Clamped):
    """Elementwise sum of two feature maps of equal shape."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatFunction(Layer):
    """A function of each value, one of `FUNCTIONS`.

    Attributes
    ----------
    kind : str
    alpha : ndarray of float, (1,) or (channels,)
        The function's parameter, for all channels or for each.
    """

    kind: str
    alpha: np.ndarray


FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "logistic": lambda x, _: 1 / (1 + np.exp(-np.maximum(x, -80))),
    "tanh": lambda x, _: np.tanh(x),
    "hard swish": lambda x, _: x * np.clip(x + 3, 0, 6) / 6,
    "hard sigmoid": lambda x, alpha: np.clip(alpha * x + 0.5, 0, 1),
    "leaky ReLU": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "ELU": lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
}
"""What `FloatFunction` computes of values and their channels' ``alpha``."""


@dataclass(kw_only=True)
class FloatGraph:
    """A float network.

    Attributes
    ----------
    name : str
    shapes : dict of str to (height, width, channels)
    layers : list of Layer
        In order of execution.
    input, output : str
    input_shape, output_shape : tuple of int
        As for `pumice.graph.Graph`, as is ``further_outputs``.
    quantisations : dict of str to (float, int)
        Scale and zero point (of int8) of tensors whose quantisation the model file states.
    """

    name: str
    shapes: dict[str, tuple[int, int, int]]
    layers: list[Layer]
    input: str
    output: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    quantisations: dict[str, tuple[float, int]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    further_outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)


def run_batch(graph: FloatGraph, x: np.ndarray) -> np.ndarray:
    """Results, float32 (n, height, width, channels), for ``n`` samples of the like."""
    chunks = [x[i : i + BATCH_CHUNK] for i in range(0, len(x), BATCH_CHUNK)]
    return np.concatenate([run_all(graph, chunk)[graph.output] for chunk in chunks])


def run_all(graph: FloatGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor, float32 (n, height, width, channels), for ``n`` samples."""
    tensors = {graph.input: np.asarray(x, np.float32)}
    for layer in graph.layers:
        tensors[layer.output] = run_layer(layer, [tensors[name] for name in layer.inputs])
    return tensors


def run_layer(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """What one layer makes of its input tensors, float32 (n, height, width, channels) each."""
    result = _RULES[type(layer)](layer, *inputs)
    if isinstance(layer, Clamped):
        result = np.clip(result, np.float32(layer.low), np.float32(layer.high))
    return result


def convolve(x: np.ndarray, layer: FloatConv, weights: np.ndarray) -> np.ndarray:
    """``layer`` with other weights of the same shape, before its bias and clamp."""
    n_out, _, _, group_channels = weights.shape
    # (taps, group, channel of the group, output of the group)
    grouped = weights.reshape(layer.groups, n_out // layer.groups, -1, group_channels).transpose(2, 0, 3, 1)
    total = np.float32(0)
    for tap, tap_weights in zip(window_taps(x, layer.window), grouped.astype(np.float32), strict=True):
        shape = tap.shape[:3]
        if layer.groups == 1:
            total = total + tap @ tap_weights[0]
        elif group_channels == 1 and n_out == layer.groups:
            total = total + tap * tap_weights[:, 0, 0]
        else:
            groups = tap.reshape(*shape, layer.groups, group_channels)
            total = total + np.einsum("nhwgc,gco->nhwgo", groups, tap_weights).reshape(*shape, n_out)
    return np.asarray(total)


def _conv(layer: FloatConv, x: np.ndarray) -> np.ndarray:
    return convolve(x, layer, layer.weights) + layer.bias.astype(np.float32)


def _pool(layer: FloatPool, x: np.ndarray) -> np.ndarray:
    if layer.mode == "max":
        return reduce(np.maximum, window_taps(x, layer.window, padding=-math.inf))
    return sum(window_taps(x, layer.window)) / np.float32(math.prod(layer.window.kernel))


def _add(_: FloatAdd, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a + b


def _softmax(layer: Softmax, x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(np.float32(layer.beta) * (x - x.max(axis=-1, keepdims=True)))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _arrange(layer: Arrange, *inputs: np.ndarray) -> np.ndarray:
    n = len(inputs[0])
    flat = np.concatenate([*(x.reshape(n, -1) for x in inputs), np.zeros((n, 1), np.float32)], axis=1)
    return flat[:, layer.index]  # -1: the zero at the end


def _function(layer: FloatFunction, x: np.ndarray) -> np.ndarray:
    return FUNCTIONS[layer.kind](x, layer.alpha.astype(np.float32)).astype(np.float32)


def _resize(layer: Resize, x: np.ndarray) -> np.ndarray:
    for axis, made in ((1, layer.size[0]), (2, layer.size[1])):
        size, position = x.shape[axis], np.arange(made)
        if layer.align_corners and made > 1:
            place = position * ((size - 1) / (made - 1))
        else:
            place = (position + 0.5) * (size / made) - 0.5 if layer.half_pixel else position * (size / made)
        place = np.clip(place, 0, size - 1)
        low = np.floor(place).astype(np.int64)
        share = np.expand_dims((place - low).astype(np.float32), (0, *{1: (2, 3), 2: (1, 3)}[axis]))
        x = np.take(x, low, axis) * (1 - share) + np.take(x, np.minimum(low + 1, size - 1), axis) * share
    return x


_RULES: dict[type, Callable] = {
    FloatConv: _conv,
    FloatPool: _pool,
    FloatAdd: _add,
    Softmax: _softmax,
    Arrange: _arrange,
    Resize: _resize,
    FloatFunction: _function,
}
