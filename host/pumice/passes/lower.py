"""Layers of a graph to operations: sparse rows over taps, requantised with integers."""

import math

import numpy as np

from ..errors import CompileError
from ..graph import Add, Arrange, Conv, Graph, Pool, Softmax, Window
from ..spec.numerics import MULTIPLIER_BITS, add_coefficients, average_multiplier, quantise_multiplier
from .arrange import arrange
from .operation import Operation, Tap

IDENTITY_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
"""With shift 0 it leaves integers up to 2**30 as they are."""


def lower(graph: Graph) -> list[Operation]:
    """Operations in order of execution, one for each layer but the softmax.

    Raises
    ------
    CompileError
        A layer cannot be stated as rows of int8 weights.
    """
    makers = {Conv: _conv, Pool: _pool, Add: _add, Arrange: arrange}
    return [makers[type(layer)](graph, layer) for layer in graph.layers if not isinstance(layer, Softmax)]


def relayout(source: str, output: str, n_channels: int, stride: tuple[int, int]) -> Operation:
    """Copies a tensor."""
    return _channelwise(
        np.ones((n_channels, 1, 1), np.int8),
        IDENTITY_MULTIPLIER,
        0,
        name=f"{output}.relayout",
        kind="relayout",
        inputs=(source,),
        output=output,
        stride=stride,
        taps=[Tap(0, 0, 0)],
        low=-128,
        high=127,
    )


def _channelwise(weights: np.ndarray, multiplier: int, shift: int, **fields) -> Operation:
    """Row ``m`` of ``weights`` reads channel ``m`` alone; no bias, and one multiplier for all."""
    channels = np.arange(len(weights))
    return Operation(
        weights=weights,
        first_channel=channels,
        channel=channels.copy(),
        bias=np.zeros(len(weights), np.int64),
        multiplier=np.full(len(weights), multiplier),
        shift=np.full(len(weights), shift),
        **fields,
    )


def _conv(graph: Graph, layer: Conv) -> Operation:
    n_rows, _, _, group_channels = layer.weights.shape
    fixed = [quantise_multiplier(scale, single_rounding=layer.single_rounding) for scale in layer.scales]
    multipliers, shifts, left = np.array(fixed, np.int64).T
    weights = layer.weights.reshape(n_rows, -1, group_channels)
    terms = _split(weights.astype(np.int64) << left[:, None, None], layer.name)
    height, width, _ = graph.tensors[layer.output].shape
    return Operation(
        name=layer.name,
        kind=layer.kind,
        inputs=layer.inputs,
        output=layer.output,
        stride=_stride(graph, layer),
        taps=_taps(layer.window) * len(terms),
        weights=np.concatenate(terms, axis=1),
        first_channel=np.arange(n_rows) // (n_rows // layer.groups) * group_channels,
        channel=np.arange(n_rows),
        bias=layer.bias.astype(np.int64) << left,
        multiplier=multipliers,
        shift=shifts,
        low=layer.low,
        high=layer.high,
        dense_macs=weights.size * height * width,
    )


def _pool(graph: Graph, layer: Pool) -> Operation:
    source, output = graph.tensors[layer.inputs[0]], graph.tensors[layer.output]
    taps, n_channels = _taps(layer.window), output.shape[2]
    if layer.mode == "max":
        _check_max_pool(graph, layer)
        multiplier, shift, left = IDENTITY_MULTIPLIER, 0, 0
    else:
        real = average_multiplier(source.scale, output.scale, len(taps))
        multiplier, shift, left = quantise_multiplier(real, single_rounding=True)
    terms = _split(np.full((n_channels, len(taps), 1), 1 << left, np.int64), layer.name)
    return _channelwise(
        np.concatenate(terms, axis=1),
        multiplier,
        shift,
        name=layer.name,
        kind=layer.mode,
        inputs=layer.inputs,
        output=layer.output,
        stride=_stride(graph, layer),
        taps=taps * len(terms),
        low=layer.low,
        high=layer.high,
        dense_macs=len(taps) * math.prod(output.shape),
    )


def _check_max_pool(graph: Graph, layer: Pool) -> None:
    """Equal quantisation on both sides; padding, which holds the zero point, must never be the maximum."""
    source, output, window = graph.tensors[layer.inputs[0]], graph.tensors[layer.output], layer.window
    if (source.scale, source.zero_point) != (output.scale, output.zero_point):
        raise CompileError(f"max pool {layer.name}: input and output must have the same scale and zero point")
    padded = window.pad_top or window.pad_bottom or window.pad_left or window.pad_right
    lowest = max((getattr(maker, "low", -128) for maker in graph.layers if maker.output == source.name), default=-128)
    if padded and lowest < source.zero_point:
        raise CompileError(
            f"max pool {layer.name}: padding holds the zero point {source.zero_point}, but its input can be as low as "
            f"{lowest}; use a pool without padding, or clamp its input (ReLU)"
        )


def _add(graph: Graph, layer: Add) -> Operation:
    a, b = (graph.tensors[name] for name in layer.inputs)
    output = graph.tensors[layer.output]
    *coefficients, real = add_coefficients(a.scale, b.scale, output.scale)
    multiplier, shift, left = quantise_multiplier(real, single_rounding=True)
    n_channels, taps, columns = output.shape[2], [], []
    for source, coefficient in enumerate(coefficients):
        terms = _split(np.full((n_channels, 1, 1), coefficient << left, np.int64), layer.name)
        taps += [Tap(source, 0, 0)] * len(terms)
        columns += terms
    return _channelwise(
        np.concatenate(columns, axis=1),
        multiplier,
        shift,
        name=layer.name,
        kind="add",
        inputs=layer.inputs,
        output=layer.output,
        stride=(1, 1),
        taps=taps,
        low=layer.low,
        high=layer.high,
        dense_macs=2 * math.prod(output.shape),
    )


def _taps(window: Window) -> list[Tap]:
    return [
        Tap(0, ky * window.dilation[0] - window.pad_top, kx * window.dilation[1] - window.pad_left)
        for ky in range(window.kernel[0])
        for kx in range(window.kernel[1])
    ]


def _stride(graph: Graph, layer: Conv | Pool) -> tuple[int, int]:
    height, width, _ = graph.tensors[layer.output].shape
    sy, sx = layer.window.stride
    return (1 if height == 1 else sy, 1 if width == 1 else sx)


def _split(weights: np.ndarray, name: str, limit: int = 16) -> list[np.ndarray]:
    """Int8 arrays whose sum is ``weights``, at least one and as few as possible."""
    terms = []
    while not terms or np.any(weights):
        terms.append(np.clip(weights, -128, 127).astype(np.int8))
        weights = weights - terms[-1]
        if len(terms) > limit:
            raise CompileError(
                f"layer {name}: a requantise multiplier needs more than {limit} int8 terms a weight: "
                "the output scale is far too small for the input and weight scales"
            )
    return terms
