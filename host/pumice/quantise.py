"""Post-training quantisation: a float graph to an int8 graph.

Activations are int8 with a scale and a zero point from calibration samples, or from the model file where it states
them; weights are int8, symmetric, with a scale for each output channel; biases int32.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .errors import InputError, ModelError, UnsupportedModelError
from .floating import (
    BATCH_CHUNK,
    FUNCTIONS,
    Clamped,
    FloatAdd,
    FloatConv,
    FloatFunction,
    FloatGraph,
    FloatPool,
    convolve,
    run_all,
)
from .golden import dequantise, run_layer_batch
from .golden import quantise as nearest_integers
from .graph import Add, Arrange, Conv, Graph, Layer, Pool, Resize, Softmax, Table, Tensor
from .spec.numerics import MAX_SHIFT
from .spec.values.codebook import share_weights

METHODS = ("minmax", "percentile", "mse")
PERCENTILE = 99.99
N_BINS = 2048
MSE_SHRINKS = np.linspace(0.2, 1.0, 81)  # parts of the observed range that are tried
LEVELS = 255  # steps of an int8
WEIGHT_LIMIT = 127
BIAS_LIMIT = 1 << 30
SOFTMAX_QUANTISATION = (1 / 256, -128)  # as TensorFlow Lite's
EMPTY_ROW_STEPS = 1024  # of a bias in an output step, for rows without weights
N_CORRECTION_SAMPLES = 256
N_SEQUENTIAL_SAMPLES = 16
NEAR_ZERO = 1e-6  # of the largest weight of a layer: less is what training with weight decay leaves of zeros
LEAST_SHARE = 1 / 32  # of the largest range, that a channel is taken to have

Quantisations = dict[str, tuple[float, int]]


def quantise(
    graph: FloatGraph,
    samples: np.ndarray,
    *,
    method: str = "minmax",
    percentile: float = PERCENTILE,
    zero_below: float = 0.0,
    bias_correction: bool = True,
    codebook: int | None = None,
) -> Graph:
    """The int8 graph.

    Parameters
    ----------
    samples : ndarray of float, (n, height, width, channels)
        Typical inputs, a few hundred; see `pumice.inputs.convert_samples`.
    method : str
        How the range of a tensor follows from its values: ``minmax`` (all of them), ``percentile`` (all but the
        outermost), ``mse`` (the part of the range with the least mean squared error). The network's input keeps all.
    percentile : float
        Percentage of the values that ``percentile`` keeps below the upper bound, and above the lower one.
    zero_below : float
        Weights smaller than this times the largest one of their output channel count as zeros; 0 .. 1. Those below
        `NEAR_ZERO` times the largest one of their layer always do.
    bias_correction : bool
        Move what the rounding of weights adds to a channel on average into its bias, then, layer by layer, what is left
        of the rounding of everything before it.
    codebook : int
        Weights of a layer share this many values less one, and zero: 2 .. 256. With 16 the engine reads 4 bits each.

    Raises
    ------
    InputError
        A parameter out of range, or no samples.
    ModelError
        Values that overflow.
    """
    if method not in METHODS:
        raise InputError(f"there is no calibration method {method!r}; there are {', '.join(METHODS)}")
    if not 50 < percentile <= 100 or not 0 <= zero_below <= 1:
        raise InputError(
            f"percentile must be above 50 and up to 100, not {percentile}; zero_below 0..1, not {zero_below}"
        )
    if codebook is not None and not 2 <= codebook <= 256:
        raise InputError(f"a codebook has 2 to 256 values, not {codebook}")
    if len(samples) == 0:
        raise InputError("calibration takes at least one sample")
    graph = replace(graph, layers=[_sparsified(layer, zero_below) for layer in graph.layers])
    graph = _equalised(graph, samples[:N_SEQUENTIAL_SAMPLES])
    stated = graph.quantisations | calibrate(graph, samples, method=method, percentile=percentile)
    rounded = _rounded(graph, _propagated(graph, stated), codebook)
    means = _weight_error_means(graph, rounded, samples[:N_CORRECTION_SAMPLES]) if bias_correction else {}
    settings = {"calibration": method, "samples": str(len(samples)), "zero_below": str(zero_below)}
    if codebook is not None:
        settings["codebook"] = str(codebook)
    integer = assemble(rounded, stated, means, settings)
    return _without_mean_errors(graph, integer, samples[:N_SEQUENTIAL_SAMPLES]) if bias_correction else integer


def assemble_stated(graph: FloatGraph) -> Graph:
    """The int8 graph of a model file that states all quantisation itself.

    Raises
    ------
    UnsupportedModelError
        It does not for some tensor.
    """
    return assemble(graph, graph.quantisations, {}, {})


def assemble(
    graph: FloatGraph, quantisations: Quantisations, corrections: dict[str, np.ndarray], metadata: dict[str, str]
) -> Graph:
    """The int8 graph with scale and zero point of tensors as given.

    Parameters
    ----------
    corrections : dict of str to ndarray
        For layers by name, what is taken off each channel's bias.

    Raises
    ------
    UnsupportedModelError
        A tensor without quantisation.
    ModelError
        Scales or biases that overflow.
    """
    known = _propagated(graph, quantisations)
    if missing := sorted(set(graph.shapes) - set(known)):
        raise UnsupportedModelError(
            f"the file states no quantisation for {', '.join(missing)}: quantise all activations, or none and use "
            "pumice quantize"
        )
    tensors = {
        name: Tensor(name=name, shape=shape, scale=known[name][0], zero_point=known[name][1])
        for name, shape in graph.shapes.items()
    }
    return Graph(
        name=graph.name,
        tensors=tensors,
        layers=[_integer_layer(layer, tensors, corrections.get(layer.name)) for layer in graph.layers],
        input=graph.input,
        output=graph.output,
        input_shape=graph.input_shape,
        output_shape=graph.output_shape,
        metadata=graph.metadata | metadata,
        further_outputs=graph.further_outputs,
    )


def calibrate(
    graph: FloatGraph, samples: np.ndarray, *, method: str = "minmax", percentile: float = PERCENTILE
) -> Quantisations:
    """Scale and zero point of every tensor, from what it holds for ``samples``."""
    ranges: dict[str, tuple[float, float]] = {}
    for name, values in _observe(graph, samples):
        low, high = ranges.get(name, (0.0, 0.0))  # 0 must be exact: it is what padding holds
        ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    if bad := [name for name, bounds in ranges.items() if not np.all(np.isfinite(bounds))]:
        raise ModelError(f"tensor {bad[0]} takes values that are not finite on the calibration samples")
    if method != "minmax":
        counts = {name: np.zeros(N_BINS) for name in ranges}
        for name, values in _observe(graph, samples):
            counts[name] += np.histogram(values, N_BINS, _widened(*ranges[name]))[0]
        for name in set(ranges) - {graph.input}:
            low, high = _widened(*ranges[name])
            centres = low + (np.arange(N_BINS) + 0.5) * (high - low) / N_BINS
            if method == "percentile":
                ranges[name] = _percentile_range(counts[name], centres, percentile)
            else:
                ranges[name] = _least_error_range(counts[name], centres, *ranges[name])
    for layer in graph.layers:
        if isinstance(layer, Arrange) and len(layer.inputs) == 1:  # copies, which then cost no precision
            ranges[layer.output] = ranges[layer.inputs[0]]
    return {name: _quantisation(*bounds) for name, bounds in ranges.items()}


def _observe(graph: FloatGraph, samples: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for i in range(0, len(samples), BATCH_CHUNK):
        yield from run_all(graph, samples[i : i + BATCH_CHUNK]).items()


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low, low + 1.0)


def _percentile_range(counts: np.ndarray, centres: np.ndarray, percentile: float) -> tuple[float, float]:
    share = np.cumsum(counts) / counts.sum()
    low = centres[np.searchsorted(share, 1 - percentile / 100)]
    high = centres[min(np.searchsorted(share, percentile / 100), N_BINS - 1)]
    return min(0.0, float(low)), max(0.0, float(high))


def _least_error_range(counts: np.ndarray, centres: np.ndarray, low: float, high: float) -> tuple[float, float]:
    centres = np.where(np.abs(centres) == np.abs(centres).min(), 0.0, centres)  # zeros are exact

    def error(shrink: float) -> float:
        scale, zero_point = _quantisation(shrink * low, shrink * high)
        nearest = np.clip(np.round(centres / scale) + zero_point, -128, 127)
        return float(counts @ (scale * (nearest - zero_point) - centres) ** 2)

    best = min(MSE_SHRINKS[::-1], key=error)
    return float(best * low), float(best * high)


def _quantisation(low: float, high: float) -> tuple[float, int]:
    """Scale (a float32, as model files have it) and zero point of a range that holds 0."""
    scale = float(np.float32((high - low) / LEVELS))
    if scale <= 0:
        return 1.0, 0
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def _propagated(graph: FloatGraph, quantisations: Quantisations) -> Quantisations:
    """With what follows for tensors that share theirs: both sides of max pool and resize; a softmax's is fixed."""
    known = dict(quantisations)
    for layer in [*graph.layers, *reversed(graph.layers)]:
        if isinstance(layer, Softmax):
            known.setdefault(layer.output, SOFTMAX_QUANTISATION)
        if isinstance(layer, Arrange):
            for source in layer.inputs:
                if source in known:
                    known.setdefault(layer.output, known[source])
                elif layer.output in known:
                    known[source] = known[layer.output]
        if isinstance(layer, Resize) or (isinstance(layer, FloatPool) and layer.mode == "max"):
            (source,) = layer.inputs
            if source in known:
                known[layer.output] = known[source]
            elif layer.output in known:
                known[source] = known[layer.output]
    return known


def _sparsified(layer: Layer, zero_below: float) -> Layer:
    if not isinstance(layer, FloatConv):
        return layer
    sizes = np.abs(layer.weights)
    threshold = np.maximum(zero_below * sizes.max(axis=(1, 2, 3), keepdims=True), NEAR_ZERO * sizes.max())
    return replace(layer, weights=np.where(sizes < threshold, 0.0, layer.weights))


def _equalised(graph: FloatGraph, samples: np.ndarray) -> FloatGraph:
    """The same network with channels of equal range where a depthwise layer alone reads a convolution.

    A factor moves from each of its channels to the convolution's, whose weights have a scale for each anyway.
    """
    readers: dict[str, list[FloatConv | None]] = {}
    for layer in graph.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer if isinstance(layer, FloatConv) else None)
    kept = {graph.output, *graph.further_outputs, *graph.quantisations}
    tensors, layers = run_all(graph, samples), {layer.output: layer for layer in graph.layers}
    for name in list(layers):
        (reader, *others), maker = readers.get(name, [None]), layers[name]
        if reader is None or others or name in kept or not isinstance(maker, FloatConv):
            continue
        is_depthwise = reader.groups == len(maker.bias) == len(reader.bias)
        is_free = maker.weight_scales is None and reader.weight_scales is None
        if not (is_depthwise and is_free and maker.low in (0, -math.inf) and maker.high == math.inf):
            continue
        largest = np.abs(tensors[name]).max(axis=(0, 1, 2)).astype(np.float64)
        factor = np.maximum(largest / max(float(largest.max()), 1e-30), LEAST_SHARE)
        layers[name] = replace(maker, weights=maker.weights / factor[:, None, None, None], bias=maker.bias / factor)
        second = layers[reader.output]
        assert isinstance(second, FloatConv)
        layers[reader.output] = replace(second, weights=second.weights * factor[:, None, None, None])
    return replace(graph, layers=list(layers.values()))


def _weight_scales(layer: FloatConv, scale_in: float, scale_out: float) -> np.ndarray:
    """Scale of each output channel's weights; large enough for its bias to fit int32."""
    if layer.weight_scales is not None:
        return layer.weight_scales
    largest = np.abs(layer.weights).max(axis=(1, 2, 3))
    empty = scale_out / (scale_in * EMPTY_ROW_STEPS)
    scales = np.where(largest > 0, largest / WEIGHT_LIMIT, empty)
    return np.maximum(scales, np.abs(layer.bias) / (scale_in * BIAS_LIMIT))


def _integer_weights(layer: FloatConv, scales: np.ndarray) -> np.ndarray:
    rounded = np.round(layer.weights / scales[:, None, None, None])
    if np.any(rounded < -128) or np.any(rounded > 127):
        raise UnsupportedModelError(
            f"layer {layer.name} has weights with a zero point that leave int8: quantise weights symmetrically"
        )
    return rounded.astype(np.int8)


def _rounded(graph: FloatGraph, known: Quantisations, codebook: int | None) -> FloatGraph:
    """With the weights that int8 ones stand for, and their scales stated."""
    layers = []
    for layer in graph.layers:
        if isinstance(layer, FloatConv):
            scales = _weight_scales(layer, known[layer.inputs[0]][0], known[layer.output][0])
            integers = _integer_weights(layer, scales)
            if codebook is not None:
                integers = share_weights(integers, codebook - 1, scales**2)
            layer = replace(layer, weights=integers * scales[:, None, None, None], weight_scales=scales)
        layers.append(layer)
    return replace(graph, layers=layers)


def _weight_error_means(graph: FloatGraph, rounded: FloatGraph, samples: np.ndarray) -> dict[str, np.ndarray]:
    """For each layer with weights, the mean over samples and positions of what their rounding adds to a channel."""
    errors = {
        layer.name: (layer, other.weights - layer.weights)
        for layer, other in zip(graph.layers, rounded.layers, strict=True)
        if isinstance(layer, FloatConv) and isinstance(other, FloatConv)
    }
    sums = {name: np.zeros(len(layer.bias)) for name, (layer, _) in errors.items()}
    for i in range(0, len(samples), BATCH_CHUNK):
        tensors = run_all(graph, samples[i : i + BATCH_CHUNK])
        for name, (layer, error) in errors.items():
            means = convolve(tensors[layer.inputs[0]], layer, error).mean(axis=(1, 2), dtype=np.float64)
            sums[name] = sums[name] + means.sum(axis=0)
    return {name: total / len(samples) for name, total in sums.items()}


def _without_mean_errors(graph: FloatGraph, integer: Graph, samples: np.ndarray) -> Graph:
    """With biases that bring each channel's mean result to that of the float graph, in order of execution."""
    expected = run_all(graph, samples)
    made = {integer.input: nearest_integers(integer.tensors[integer.input], samples)}
    layers = []
    for layer in integer.layers:
        inputs = [made[name] for name in layer.inputs]
        result = run_layer_batch(integer, layer, inputs)
        if isinstance(layer, Conv):
            output = integer.tensors[layer.output]
            error = (dequantise(output, result) - expected[layer.output]).mean(axis=(0, 1, 2), dtype=np.float64)
            units = np.where(layer.scales > 0, layer.scales, np.inf) * output.scale
            limit = (1 << 31) - 1
            bias = np.clip(np.round(layer.bias - error / units), -limit, limit).astype(np.int32)
            layer = replace(layer, bias=bias)
            result = run_layer_batch(integer, layer, inputs)
        made[layer.output] = result
        layers.append(layer)
    return replace(integer, layers=layers)


def _integer_layer(layer: Layer, tensors: dict[str, Tensor], correction: np.ndarray | None) -> Layer:
    output = tensors[layer.output]
    if isinstance(layer, FloatFunction):
        return function_table(layer, tensors[layer.inputs[0]], output)
    if not isinstance(layer, Clamped):
        return layer  # means the same for integers
    common = {"name": layer.name, "inputs": layer.inputs, "output": layer.output, **_clamp(layer, output)}
    for name in layer.inputs:
        if tensors[name].scale / output.scale >= 1 << MAX_SHIFT:
            raise ModelError(f"layer {layer.name} has impossible scales {tensors[name].scale} and {output.scale}")
    if isinstance(layer, FloatAdd):
        return Add(**common)
    if isinstance(layer, FloatPool):
        return Pool(**common, window=layer.window, mode=layer.mode)
    assert isinstance(layer, FloatConv)
    source = tensors[layer.inputs[0]]
    weight_scales = _weight_scales(layer, source.scale, output.scale)
    scales = source.scale * weight_scales / output.scale
    bias = np.round((layer.bias - (0.0 if correction is None else correction)) / (source.scale * weight_scales))
    if not (np.all(np.isfinite(scales)) and np.all(scales < 1 << MAX_SHIFT) and np.all(np.abs(bias) <= BIAS_LIMIT * 2)):
        raise ModelError(f"layer {layer.name}: its weights or bias are too large for scales of {source.scale}")
    return Conv(
        **common,
        window=layer.window,
        weights=_integer_weights(layer, weight_scales),
        bias=np.clip(bias, -(1 << 31), (1 << 31) - 1).astype(np.int32),
        scales=scales,
        groups=layer.groups,
        kind="depthwise" if layer.kind == "affine" else layer.kind,
        single_rounding=layer.kind == "dense",
    )


def function_table(layer: FloatFunction, source: Tensor, output: Tensor) -> Table:
    """The function as a table from the integers of ``source`` to those of ``output``."""
    real = (np.arange(-128, 128) - source.zero_point) * source.scale
    results = FUNCTIONS[layer.kind](real[None], layer.alpha[:, None])
    return Table(
        name=layer.name,
        inputs=layer.inputs,
        output=layer.output,
        table=np.ascontiguousarray(nearest_integers(output, results)),
        kind=layer.kind,
    )


def _clamp(layer: Clamped, output: Tensor) -> dict[str, int]:
    return {"low": clamp_bound(layer.low, output), "high": clamp_bound(layer.high, output)}


def clamp_bound(real: float, output: Tensor) -> int:
    """The int8 value that a bound of a fused activation is, rounded half away from zero."""
    if math.isinf(real):
        return 127 if real > 0 else -128
    steps = math.copysign(math.floor(abs(real) / output.scale + 0.5), real)
    return int(min(127, max(-128, output.zero_point + steps)))
