"""A network cut into parts that the engine runs and layers that the host runs between them."""

from dataclasses import dataclass, replace

import numpy as np

from .graph import HOST_LAYERS, Arrange, Conv, Graph, Layer, Softmax, Window
from .passes.arrange import is_address


@dataclass(frozen=True, kw_only=True)
class Part:
    """Layers that run one after the other in one place; ``graph`` has their inputs and outputs, in maps' shapes."""

    on_engine: bool
    graph: Graph


def flattened(graph: Graph, max_taps: int) -> Graph:
    """The same network with a flat copy of each map that a dense layer reads at more than ``max_taps`` positions."""
    tensors, layers = dict(graph.tensors), []
    for layer in graph.layers:
        (name, *_) = layer.inputs
        height, width, channels = tensors[name].shape
        whole = Window(kernel=(height, width))
        if isinstance(layer, Conv) and layer.groups == 1 and layer.window == whole and height * width > max_taps:
            shape = 1, 1, height * width * channels
            flat = replace(tensors[name], name=f"{name}/flat of {layer.name}", shape=shape)
            tensors[flat.name] = flat
            index = np.arange(shape[2], dtype=np.int32).reshape(shape)
            layers.append(Arrange(name=flat.name, inputs=(name,), output=flat.name, index=index, kind="reshape"))
            weights = layer.weights.reshape(len(layer.weights), *shape)
            layer = replace(layer, inputs=(flat.name,), weights=weights, window=Window(kernel=(1, 1)))
        layers.append(layer)
    return replace(graph, tensors=tensors, layers=layers)


def runs_on_engine(graph: Graph, layer: Layer) -> bool:
    """Whether the engine runs a layer."""
    return not isinstance(layer, HOST_LAYERS) and (not isinstance(layer, Arrange) or is_address(graph, layer))


def split(graph: Graph) -> list[Part]:
    """Parts in order of execution, by turns on the engine and on the host, and as few as possible."""
    level = {graph.input: 0}
    by_level: dict[int, list[Layer]] = {}
    for layer in graph.layers:  # engine layers have even levels, host layers odd ones
        on_host = not runs_on_engine(graph, layer)
        lowest = max(level[name] for name in layer.inputs)
        level[layer.output] = lowest + (lowest % 2 != on_host)
        by_level.setdefault(level[layer.output], []).append(layer)
    return [
        Part(on_engine=number % 2 == 0, graph=_part(graph, by_level[number], level, number))
        for number in sorted(by_level)
    ]


def is_single(graph: Graph) -> bool:
    """Whether one image is all there is: engine layers, and then at most a softmax of the only output."""
    host = [layer for layer in graph.layers if not runs_on_engine(graph, layer)]
    return not host or (len(graph.layers) > 1 and graph.layers[-1:] == host and _is_last_softmax(graph, host[0]))


def _is_last_softmax(graph: Graph, layer: Layer) -> bool:
    return isinstance(layer, Softmax) and layer.output == graph.output and not graph.further_outputs


def _part(graph: Graph, layers: list[Layer], level: dict[str, int], number: int) -> Graph:
    made = {layer.output for layer in layers}
    read = dict.fromkeys(name for layer in layers for name in layer.inputs if name not in made)
    later = [layer for layer in graph.layers if level[layer.output] > number]
    needed = {name for layer in later for name in layer.inputs} | set(graph.outputs)
    returned = [layer.output for layer in layers if layer.output in needed]
    names, (source, *others) = {*made, *read}, read
    shapes = {name: graph.tensors[name].shape for name in returned}
    return replace(
        graph,
        tensors={name: tensor for name, tensor in graph.tensors.items() if name in names},
        layers=layers,
        input=source,
        input_shape=graph.tensors[source].shape,
        output=returned[0],
        output_shape=shapes[returned[0]],
        further_outputs={name: shapes[name] for name in returned[1:]},
        further_inputs=tuple(others),
    )
