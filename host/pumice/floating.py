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
from .graph import Layer, Softmax, Window

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
        As for `pumice.graph.Graph`.
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


_RULES: dict[type, Callable] = {FloatConv: _conv, FloatPool: _pool, FloatAdd: _add, Softmax: _softmax}
