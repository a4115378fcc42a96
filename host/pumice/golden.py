"""What a network's layers compute, in numpy: the engine and the simulator are compared with this, bit for bit.

Accumulators are formed in float64, whose sums of integer products are exact below 2**53 (2**38 terms of int8 by int8),
because numpy multiplies float matrices many times faster than integer ones; the rest is `pumice.spec.numerics`.

What a network returns
----------------------
``output_raw`` is the output tensor in the integers that the model file defines for it: after a `Softmax`, its
probabilities quantised to the output tensor's scale and zero point. ``output`` is the same dequantised, float32.
"""

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np

from .errors import InputError
from .graph import Add, Arrange, Conv, Graph, Layer, Pool, Resize, Softmax, Table, Tensor, Window
from .spec.numerics import add_coefficients, average_multiplier, quantise_multiplier, requantise, wrap_int32

BATCH_CHUNK = 32  # images at a time: keeps the float64 copies of large feature maps small


def run(graph: Graph, x: np.ndarray, *, keep: bool = False) -> np.ndarray | dict[str, np.ndarray]:
    """Run a network on one sample.

    Parameters
    ----------
    x : ndarray of int8, shape of the graph's input tensor
    keep : bool
        Return all tensors.

    Returns
    -------
    ndarray of int8, or dict of tensor name to ndarray
        The output tensor (see ``output_raw`` above), or every tensor, each in the shape of its `Tensor`.

    Raises
    ------
    InputError
        ``x`` has another shape or dtype.
    """
    _check(graph, x, graph.tensors[graph.input].shape)
    tensors = _run(graph, x[None])
    return {name: values[0] for name, values in tensors.items()} if keep else tensors[graph.output][0]


def run_batch(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Run a network on ``n`` samples, (n, height, width, channels), and return its ``n`` output tensors."""
    _check(graph, x, (len(x), *graph.tensors[graph.input].shape))
    chunks = [x[i : i + BATCH_CHUNK] for i in range(0, max(1, len(x)), BATCH_CHUNK)]
    return np.concatenate([_run(graph, chunk)[graph.output] for chunk in chunks])


def run_layer(graph: Graph, layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """Run one layer on its input tensors, int8 (height, width, channels) each; returns the like."""
    for name, x in zip(layer.inputs, inputs, strict=True):
        _check(graph, x, graph.tensors[name].shape)
    return run_layer_batch(graph, layer, [x[None] for x in inputs])[0]


def softmax(graph: Graph, layer: Softmax, x: np.ndarray) -> np.ndarray:
    """Probabilities (float32) over the last axis of the int8 tensor that ``layer`` reads, before they are quantised."""
    real = layer.beta * dequantise(graph.tensors[layer.inputs[0]], x).astype(np.float64)
    exponentials = np.exp(real - real.max(axis=-1, keepdims=True))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def dequantise(tensor: Tensor, x: np.ndarray) -> np.ndarray:
    """Real values (float32) of the integers ``x`` of a tensor."""
    return (tensor.scale * (x.astype(np.float64) - tensor.zero_point)).astype(np.float32)


def quantise(tensor: Tensor, real: np.ndarray) -> np.ndarray:
    """Nearest int8 integers of real values, saturating; in float32, half away from zero, as TFLite's QUANTIZE."""
    scaled = np.asarray(real, np.float32) / np.float32(tensor.scale)
    nearest = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    return np.clip(nearest + tensor.zero_point, -128, 127).astype(np.int8)


def _check(graph: Graph, x: np.ndarray, shape: tuple[int, ...]) -> None:
    if x.dtype != np.int8 or x.shape != shape:
        raise InputError(f"{graph.name} takes int8 of shape {shape} here, not {x.dtype} of shape {x.shape}")


def _run(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    tensors = {graph.input: x}
    for layer in graph.layers:
        tensors[layer.output] = run_layer_batch(graph, layer, [tensors[name] for name in layer.inputs])
    return tensors


def run_layer_batch(graph: Graph, layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """One layer on tensors of int8, (n, height, width, channels)."""
    rules: dict[type, Callable] = {
        Conv: _conv,
        Pool: _pool,
        Add: _add,
        Softmax: _softmax,
        Arrange: _arrange,
        Resize: _resize,
        Table: _table,
    }
    return rules[type(layer)](graph, layer, *inputs)


def _conv(graph: Graph, layer: Conv, x: np.ndarray) -> np.ndarray:
    tensor = graph.tensors[layer.inputs[0]]
    n_out, _, _, group_channels = layer.weights.shape
    # (taps, group, channel of the group, output of the group)
    weights = layer.weights.reshape(layer.groups, n_out // layer.groups, -1, group_channels)
    weights = weights.transpose(2, 0, 3, 1).astype(np.float64)
    accumulators = 0
    for tap, tap_weights in zip(window_taps(_centred(x, tensor), layer.window), weights, strict=True):
        if layer.groups == 1:
            accumulators = accumulators + tap @ tap_weights[0]  # BLAS; einsum is slower
        else:
            grouped = tap.reshape(*tap.shape[:3], layer.groups, group_channels)
            products = np.einsum("nhwgc,gco->nhwgo", grouped, tap_weights)
            accumulators = accumulators + products.reshape(*tap.shape[:3], n_out)
    output = graph.tensors[layer.output]
    return _requantise(accumulators, layer.bias, layer.scales, output, layer, single_rounding=layer.single_rounding)


def _pool(graph: Graph, layer: Pool, x: np.ndarray) -> np.ndarray:
    tensor, output = graph.tensors[layer.inputs[0]], graph.tensors[layer.output]
    if layer.mode == "max":
        largest = reduce(np.maximum, window_taps(x, layer.window, padding=-128))  # so padding never wins
        return np.clip(largest, layer.low, layer.high)
    total = sum(window_taps(_centred(x, tensor), layer.window))
    kernel_height, kernel_width = layer.window.kernel
    scale = average_multiplier(tensor.scale, output.scale, kernel_height * kernel_width)
    return _requantise(total, 0, scale, output, layer, single_rounding=True)


def _add(graph: Graph, layer: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    tensor_a, tensor_b = (graph.tensors[name] for name in layer.inputs)
    output = graph.tensors[layer.output]
    coefficient_a, coefficient_b, scale = add_coefficients(tensor_a.scale, tensor_b.scale, output.scale)
    total = coefficient_a * _centred(a, tensor_a) + coefficient_b * _centred(b, tensor_b)
    return _requantise(total, 0, scale, output, layer, single_rounding=True)


def _softmax(graph: Graph, layer: Softmax, x: np.ndarray) -> np.ndarray:
    return quantise(graph.tensors[layer.output], softmax(graph, layer, x))


def _arrange(graph: Graph, layer: Arrange, *inputs: np.ndarray) -> np.ndarray:
    output, n = graph.tensors[layer.output], len(inputs[0])
    parts = [
        requantised(graph.tensors[name], output, x).reshape(n, -1) for name, x in zip(layer.inputs, inputs, strict=True)
    ]
    flat = np.concatenate([*parts, np.full((n, 1), output.zero_point, np.int8)], axis=1)
    return flat[:, layer.index]  # -1: the zero point at the end


def requantised(source: Tensor, output: Tensor, x: np.ndarray) -> np.ndarray:
    """Integers of ``source`` as those of ``output`` that stand for the same, rounded once."""
    if (source.scale, source.zero_point) == (output.scale, output.zero_point):
        return x
    multiplier, shift, left_shift = quantise_multiplier(source.scale / output.scale, single_rounding=True)
    centred = (x.astype(np.int64) - source.zero_point) << left_shift
    return requantise(centred, 0, multiplier, shift, output.zero_point, -128, 127)


def interpolation(size: int, made: int, layer: Resize) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along one axis, for ``made`` results of ``size`` values: two places, and the second's weight in parts of 1024.

    As TensorFlow Lite's integer kernel; before the first value the weight is that of the same place twice.
    """
    align = layer.align_corners and made > 1
    step = (1024 * (size - 1) + (made - 1) // 2) // (made - 1) if align else (1024 * size + made // 2) // made
    place = np.arange(made) * step + (step // 2 - 512 if layer.half_pixel else 0)
    low = np.clip(place >> 10, 0, size - 1)
    high = np.minimum((place + 1023) >> 10, size - 1)
    return low, np.maximum(high, low), place - 1024 * low


def _resize(_: Graph, layer: Resize, x: np.ndarray) -> np.ndarray:
    total = x.astype(np.int64)
    for axis, made, others in ((1, layer.size[0], (0, 2, 3)), (2, layer.size[1], (0, 1, 3))):
        low, high, weights = interpolation(x.shape[axis], made, layer)
        share = np.expand_dims(weights, others)
        total = np.take(total, low, axis) * (1024 - share) + np.take(total, high, axis) * share
    nearest = np.sign(total) * ((np.abs(total) + (1 << 19)) >> 20)
    return np.clip(nearest, -128, 127).astype(np.int8)


def _table(_: Graph, layer: Table, x: np.ndarray) -> np.ndarray:
    channels = np.arange(len(layer.table))  # one for all, or each its own
    return layer.table[channels, x.astype(np.int64) + 128]


def _centred(x: np.ndarray, tensor: Tensor) -> np.ndarray:
    return x.astype(np.float64) - tensor.zero_point


def window_taps(x: np.ndarray, window: Window, *, padding: float = 0) -> Iterator[np.ndarray]:
    """For each position of the kernel, row-major, the values that it meets: (n, output height, width, channels)."""
    height, width = window.output_size(*x.shape[1:3])
    rows, columns = (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right)
    padded = np.pad(x, ((0, 0), rows, columns, (0, 0)), constant_values=padding)
    (sy, sx), (dy, dx) = window.stride, window.dilation
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            top, left = ky * dy, kx * dx
            yield padded[:, top : top + (height - 1) * sy + 1 : sy, left : left + (width - 1) * sx + 1 : sx]


def _requantise(
    accumulators, bias, scales, output: Tensor, layer: Conv | Pool | Add, *, single_rounding: bool
) -> np.ndarray:
    """Exact integers to int8; ``scales`` of 1 and more are a factor of weights and bias in the engine, so here too."""
    fixed = [quantise_multiplier(scale, single_rounding=single_rounding) for scale in np.atleast_1d(scales)]
    multipliers, shifts, left_shifts = np.array(fixed, np.int64).T
    accumulators = wrap_int32(accumulators.astype(np.int64)) << left_shifts
    bias = np.asarray(bias, np.int64) << left_shifts
    return requantise(accumulators, bias, multipliers, shifts, output.zero_point, layer.low, layer.high)
