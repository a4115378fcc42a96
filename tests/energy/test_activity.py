"""Activity against an independent count from the golden tensors, and against what the compiler says."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.predicted import PredictedEngine
from pumice.energy.activity import ACTIVITIES, CONTROL, Activity, load_activity, network_activity
from pumice.errors import DeviceError
from pumice.graph import Conv, Graph
from pumice.spec.config import TINY, Z7020, EngineConfig

from ..compiler.graphs import GraphBuilder
from ..compiler.test_stripes import SHARING, perceptron

SEEDS = range(6)


def run(graph: Graph, x: np.ndarray, config: EngineConfig = TINY, formats=None):
    image = compile_graph(graph, config, formats=formats)
    engine = PredictedEngine(config)
    engine.load(image)
    data = image.pack_input(x)
    return image, data, engine.run(data)


def count(graph: Graph, x: np.ndarray, config: EngineConfig = TINY, formats=None) -> dict[str, Activity]:
    image, data, inference = run(graph, x, config, formats)
    return network_activity(image, config, data, inference)


def random_network(seed: int, density: float = 0.4) -> tuple[Graph, np.ndarray]:
    """Strided, depthwise and plain convolutions; every channel is read, and the last layer has an empty row."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder(rng, (*map(int, rng.integers(5, 12, 2)), 3))
    name = b.conv("input", 5, stride=(2, 2), density=density)
    name = b.depthwise(name, density=max(density, 0.8))
    graph = b.build(b.conv(name, 4, (1, 3), density=density, silent=(1,)))
    x = rng.integers(-128, 128, graph.tensors["input"].shape).astype(np.int8)
    x[rng.random(x.shape) < 0.3] = graph.tensors["input"].zero_point
    return graph, x


def products(graph: Graph, layer: Conv, x: np.ndarray) -> tuple[int, int]:
    """Products of non-zero weights with activations off and at the zero point, padding being at it; by loops."""
    window, tensor = layer.window, graph.tensors[layer.inputs[0]]
    height, width = window.output_size(*x.shape[:2])
    group_size = layer.weights.shape[3]
    outputs_per_group = layer.weights.shape[0] // layer.groups
    counted = [0, 0]
    for o, ky, kx, c in zip(*np.nonzero(layer.weights), strict=True):
        channel = o // outputs_per_group * group_size + c
        for y in range(height):
            for column in range(width):
                iy = y * window.stride[0] + ky * window.dilation[0] - window.pad_top
                ix = column * window.stride[1] + kx * window.dilation[1] - window.pad_left
                inside = 0 <= iy < x.shape[0] and 0 <= ix < x.shape[1]
                counted[bool(not inside or x[iy, ix, channel] == tensor.zero_point)] += 1
    return counted[0], counted[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda config: config.name)
def test_products_are_those_of_the_golden_tensors(seed, config):
    graph, x = random_network(seed, density=0.7)
    tensors = golden.run(graph, x, keep=True)
    parts = count(graph, x, config)
    assert list(parts) == [*(layer.name for layer in graph.layers), CONTROL]
    for layer in graph.layers:
        expected = products(graph, layer, tensors[layer.inputs[0]])
        assert (parts[layer.name].macs, parts[layer.name].zero_macs) == expected, layer.name


@pytest.mark.parametrize("formats", [None, "dense"])
def test_every_lane_of_every_step_is_counted_once(formats):
    graph, x = random_network(1)
    for config in (TINY, Z7020):
        for name, part in count(graph, x, config, formats).items():
            in_lanes = part.macs + part.zero_macs + part.masked_macs + part.filler_macs
            assert in_lanes == part.steps * config.n_lanes, name
            if name != CONTROL:
                assert part.bank_read_bytes == in_lanes
                assert part.requantised > 0


def test_words_and_bytes_are_those_of_the_image():
    graph, x = random_network(2)
    image, data, inference = run(graph, x)
    parts = network_activity(image, TINY, data, inference)
    total = Activity.total(parts.values())
    assert total.dram_bytes == inference.read_bytes + inference.write_bytes
    assert total.cycles == total.soft_core_cycles == inference.cycles
    assert total.weight_words_written == 0  # all weights stay
    for layer in image.metadata["layers"]:
        # One pass reads all words of the segment; the row table and the stream again for each further tile.
        words = layer["weight_bytes"] // 8
        read, n_more = parts[layer["name"]].weight_words_read, layer["n_tiles"] - 1
        assert n_more > 0
        assert words + n_more * 2 * layer["n_rows"] < read < (1 + n_more) * words
    load = load_activity(image, TINY)
    assert load.weight_words_written == image.metadata["weight_words"]
    assert load.dram_bytes == image.header["n_bytes"]


def test_streamed_weights_are_written_in_each_run():
    b = GraphBuilder(np.random.default_rng(5), (4, 4, 32))
    graph = b.build(b.conv(b.conv("input", 48), 32))
    x = np.zeros(graph.tensors["input"].shape, np.int8)
    image, data, inference = run(graph, x)
    streamed = {layer["name"]: layer["weight_bytes"] for layer in image.metadata["layers"] if layer["streamed"]}
    assert streamed
    total = Activity.total(network_activity(image, TINY, data, inference).values())
    assert total.dram_bytes == inference.read_bytes + inference.write_bytes
    for name, part in network_activity(image, TINY, data, inference).items():
        assert part.dram_bytes == streamed.get(name, part.dram_bytes)
        assert part.weight_words_written * 8 == streamed.get(name, 0)


def test_streamed_slots_are_written_in_each_run():
    """Parts of two striped layers, in the banks of one core each."""
    graph = perceptron(1, SHARING)
    image, data, inference = run(graph, np.zeros(graph.tensors["input"].shape, np.int8))
    parts = network_activity(image, TINY, data, inference)
    layers = image.metadata["layers"]
    assert sum(layer["streamed_slot_bytes"] for layer in layers) == image.metadata["streamed_bytes"] > 0
    assert sum(parts[layer["name"]].dram_bytes for layer in layers) == image.metadata["streamed_bytes"]
    assert all(part.weight_words_written == 0 for part in parts.values())
    for layer in layers:
        rows = layer["n_rows"]  # results, a byte each
        assert parts[layer["name"]].bank_write_bytes == rows + layer["streamed_slot_bytes"]


def test_every_core_keeps_a_copy_of_what_is_written():
    """Striped layers, whose results are a byte each; input and slots come in words."""
    graph = perceptron(1, [64, 32, 32])
    image, data, inference = run(graph, np.zeros(graph.tensors["input"].shape, np.int8), Z7020)
    parts = network_activity(image, Z7020, data, inference)
    for layer in image.metadata["layers"]:
        assert "stripes" in layer["format"]
        assert parts[layer["name"]].bank_write_bytes == layer["n_rows"] * Z7020.n_cores
    assert parts[CONTROL].bank_write_bytes == len(data) * Z7020.n_cores
    assert load_activity(image, Z7020).bank_write_bytes == 64 * 32 + 32 * 32  # a byte a weight


def test_zero_points_are_known_behind_memory():
    """Maps larger than the activation memory go to DRAM and come back in bands."""
    b = GraphBuilder(np.random.default_rng(5), (12, 12, 3))
    graph = b.build(b.conv(b.conv("input", 4, density=0.5), 3, (1, 1)))
    x = np.random.default_rng(5).integers(-128, 128, graph.tensors["input"].shape).astype(np.int8)
    config, tensors = replace(TINY, bank_depth=64), golden.run(graph, x, keep=True)
    image, data, inference = run(graph, x, config)
    parts = network_activity(image, config, data, inference)
    for layer, described in zip(graph.layers, image.metadata["layers"], strict=True):
        assert described["n_bands"] > 1
        expected = products(graph, layer, tensors[layer.inputs[0]])
        assert (parts[layer.name].macs, parts[layer.name].zero_macs) == expected, layer.name


def test_zero_activations_are_zero_macs():
    graph, x = random_network(3)
    zero = np.full_like(x, graph.tensors["input"].zero_point)
    first = graph.layers[0].name
    quiet, busy = count(graph, zero)[first], count(graph, x)[first]
    assert quiet.macs == 0
    assert quiet.zero_macs == busy.macs + busy.zero_macs
    assert busy.macs > 0


def test_refuses_counters_and_outputs_of_another_run():
    graph, x = random_network(4)
    image, data, inference = run(graph, x)
    log = [dict(entry) for entry in inference.log]
    log[1]["nonzeros"] += 1
    with pytest.raises(DeviceError, match="nonzeros"):
        network_activity(image, TINY, data, type(inference)(**(asdict(inference) | {"log": tuple(log)})))
    with pytest.raises(DeviceError, match="output"):
        network_activity(image, TINY, image.pack_input(x ^ 0x55), inference)


def test_events_and_fields_are_the_same():
    assert list(ACTIVITIES) == list(asdict(Activity()))
    assert {event.source for event in ACTIVITIES.values()} == {"device", "image"}
