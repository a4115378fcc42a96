"""Prunes a network that is trained already."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..floating import FloatAdd, FloatGraph
from ..graph import Add, Graph, Softmax
from .allocate import by_sensitivity, layer_adaptive
from .network import Runner, Weights, prunable, with_weights
from .patterns import Pattern
from .reconstruct import fit, fit_path, moments

MAGNITUDE, SECOND_ORDER = "magnitude", "obs"
METHODS = (SECOND_ORDER, MAGNITUDE)
N_SENSITIVITY_SAMPLES, N_PROBES = 128, 32  # to fit a layer to; to compute the network's results of
GRID = (0.2, 0.4, 0.6, 0.8, 1.0)  # sparsities at which a layer's sensitivity is measured

Progress = Callable[[str], None]


def prune(
    graph: Graph | FloatGraph,
    sparsities: Mapping[str, float],
    pattern: Pattern,
    *,
    samples: np.ndarray | None = None,
    method: str = SECOND_ORDER,
    progress: Progress = lambda name: None,
) -> Graph | FloatGraph:
    """The network with zeros among its weights.

    Parameters
    ----------
    graph : Graph or FloatGraph
        An int8 network stays int8, with its activations' scales.
    sparsities : mapping of str to float
        Share of the weights to drop, by the layer's name; other layers stay as they are.
    samples : ndarray, (n, height, width, channels)
        Typical inputs for the method ``obs``, a few hundred: float in real units, int8 for an int8 network.
    method : str
        ``obs``: see `pumice.pruning.reconstruct`. ``magnitude``: the smallest weights go, the others stay.
    progress : callable
        Called with the name of each layer once it is pruned.

    Raises
    ------
    InputError
        An unknown layer or method, a sparsity out of range, no samples.
    """
    layers = prunable(graph)
    if unknown := sorted(set(sparsities) - set(layers)):
        raise InputError(f"{graph.name} has no weights called {unknown[0]}; it has {', '.join(layers)}")
    if method not in METHODS:
        raise InputError(f"there is no pruning method {method!r}; there are {', '.join(METHODS)}")
    if method == MAGNITUDE:
        new = {}
        for name, sparsity in sparsities.items():
            layer = layers[name]
            new[name] = layer.weights * pattern.mask(np.square(layer.weights), sparsity), layer.bias
            progress(name)
        return with_weights(graph, new)
    if samples is None or len(samples) == 0:
        raise InputError("the method obs takes samples to calibrate with; without any, use magnitude")
    return _prune_in_order(graph, layers, sparsities, pattern, samples, progress)


def _prune_in_order(graph, layers: dict[str, Weights], sparsities, pattern: Pattern, samples, progress: Progress):
    """Layer after layer, each one seeing what the pruned ones before it give."""
    original, pruned = Runner(graph, samples), Runner(graph, samples)
    result = graph
    for i, layer in enumerate(graph.layers):
        if layer.name in sparsities:
            weights = layers[layer.name]
            owed = _owed(graph, layer, original, pruned)
            statistics = moments(original.inputs(layer), pruned.inputs(layer), weights.window, weights.groups, owed)
            fitted = fit(weights.weights, weights.bias, statistics, weights.groups, pattern, sparsities[layer.name])
            result = with_weights(result, {layer.name: fitted})
            progress(layer.name)
        original.step(layer)
        pruned.step(result.layers[i])
    return result


def _owed(graph, layer, original: Runner, pruned: Runner) -> np.ndarray | None:
    """What the layer can make good of the error of a tensor that its own results are added to."""
    readers = [reader for reader in graph.layers if layer.output in reader.inputs]
    if len(readers) != 1 or not isinstance(readers[0], Add | FloatAdd) or layer.output == graph.output:
        return None
    (other,) = (name for name in readers[0].inputs if name != layer.output)
    return original.real(other) - pruned.real(other) if original.has(other) else None


def sensitive_sparsities(
    graph: Graph | FloatGraph,
    sparsity: float,
    pattern: Pattern,
    *,
    samples: np.ndarray | None = None,
    method: str = SECOND_ORDER,
    progress: Progress = lambda name: None,
) -> dict[str, float]:
    """For each layer what share of its weights to drop, so that of all weights ``sparsity`` go.

    With samples, each layer is pruned alone to a few sparsities, and how much the network's results change decides.
    Without, the sizes of the weights do. No layer loses all. A pattern of fixed sparsity has it everywhere.
    Parameters, and errors, as of `prune`.
    """
    layers = prunable(graph)
    if not layers:
        raise InputError(f"{graph.name} has no weights to prune")
    if pattern.fixed_sparsity is not None:
        if sparsity > pattern.fixed_sparsity + 1e-9:
            raise InputError(f"{pattern} drops {pattern.fixed_sparsity:.0%} of the weights, not {sparsity:.0%}")
        return dict.fromkeys(layers, sparsity)
    if samples is None:
        return layer_adaptive({name: layer.weights for name, layer in layers.items()}, sparsity)
    errors = sensitivities(graph, pattern, samples=samples, method=method, progress=progress)
    return shares_of(graph, errors, sparsity, pattern)


def shares_of(
    graph: Graph | FloatGraph, errors: Mapping[str, Mapping[float, float]], sparsity: float, pattern: Pattern
) -> dict[str, float]:
    """As `sensitive_sparsities`, from what `sensitivities` gave, which serves every overall sparsity."""
    shapes = {name: layer.weights.shape for name, layer in prunable(graph).items()}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    return by_sensitivity(sizes, errors, sparsity, {name: pattern.most(shape) for name, shape in shapes.items()})


def sensitivities(
    graph: Graph | FloatGraph,
    pattern: Pattern,
    *,
    samples: np.ndarray,
    method: str = SECOND_ORDER,
    progress: Progress = lambda name: None,
) -> dict[str, dict[float, float]]:
    """For each layer and sparsity, the mean squared change of the network's results over their variance."""
    layers, samples = prunable(graph), samples[:N_SENSITIVITY_SAMPLES]
    last = [layer for layer in graph.layers if not isinstance(layer, Softmax)][-1].output
    graph = replace(graph, output=last)
    runner, probes = Runner(graph, samples), Runner(graph, samples[:N_PROBES])
    found: dict[str, dict[float, np.ndarray]] = {}
    for i, layer in enumerate(graph.layers):
        if layer.name in layers:
            weights = layers[layer.name]
            found[layer.name] = {}
            for share, new in zip(GRID, _path(weights, runner.inputs(layer), pattern, method), strict=True):
                rest = probes.fork()
                for following in with_weights(graph, {layer.name: new}).layers[i:]:
                    rest.step(following)
                found[layer.name][share] = rest.real(last)
            progress(layer.name)
        runner.step(layer)
        probes.step(layer)
    expected = probes.real(last)
    scale = max(float(expected.var()), 1e-12)
    return {
        name: {share: float(np.square(result - expected).mean()) / scale for share, result in results.items()}
        for name, results in found.items()
    }


def _path(layer: Weights, x: np.ndarray, pattern: Pattern, method: str) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Weights and bias of a layer that alone is pruned, at the sparsities of `GRID`."""
    if method == MAGNITUDE:
        saliency = np.square(layer.weights)
        return ((layer.weights * pattern.mask(saliency, share), layer.bias) for share in GRID)
    statistics = moments(x, x, layer.window, layer.groups)
    return fit_path(layer.weights, layer.bias, statistics, layer.groups, pattern, GRID)
