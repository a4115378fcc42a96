"""Golden model against LiteRT's reference kernels: each layer on equal inputs, and whole networks."""

import numpy as np
import pytest
from pumice import golden
from pumice.frontends import load_graph
from pumice.frontends.tflite import parse_tflite
from pumice.inputs import load_input

from tests.frontends.nets import NETS

pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install pumice[litert]")

from .litert import Comparison, LiteRt

SEED = 11
N_RANDOM = 20
EXACT_KINDS = ("conv", "depthwise", "max")
SAMPLES = {"ad": 120, "ic": 6, "kws": 7, "vww": 3}


@pytest.mark.parametrize("name", NETS)
def test_hand_built_networks(name):
    data = NETS[name]()
    graph, litert, comparison = parse_tflite(data, name), LiteRt(data), Comparison()
    source = graph.tensors[graph.input]
    rng = np.random.default_rng(SEED)
    for _ in range(N_RANDOM):
        x = rng.integers(-128, 128, source.shape).astype(np.int8)
        is_float = litert.interpreter.get_input_details()[0]["dtype"] == np.float32
        tensors = litert.run(graph, golden.dequantise(source, x) if is_float else x)
        np.testing.assert_array_equal(tensors[graph.input], x)
        comparison.layers(graph, tensors)
        output = tensors[graph.output]
        expected = golden.dequantise(graph.tensors[graph.output], output) if is_float else output
        np.testing.assert_array_equal(litert.output().ravel(), expected.ravel())
        assert graph.output_shape == litert.output().shape
    _check(comparison, N_RANDOM * len(graph.layers))


@pytest.mark.parametrize("name", SAMPLES)
def test_mlperf_tiny(shared_data, name):
    (path,) = (shared_data / "mlperf_tiny" / name).glob("*_int8.tflite")
    graph, litert, comparison = load_graph(path), LiteRt(path.read_bytes()), Comparison()
    files = sorted((shared_data / "mlperf_tiny" / name / "inputs").iterdir())
    samples = np.concatenate([load_input(file, graph) for file in files])
    assert len(samples) == SAMPLES[name]
    for x in samples:
        tensors = litert.run(graph, x)
        comparison.layers(graph, tensors)
        assert golden.run(graph, x).argmax() == tensors[graph.output].argmax()
    _check(comparison, len(samples) * len(graph.layers))


def test_cifar_images(shared_data):
    """The first 100 images through ResNet-8: same class as LiteRT, layers within 1 LSB."""
    (path,) = (shared_data / "mlperf_tiny" / "ic").glob("*_int8.tflite")
    graph, litert, comparison = load_graph(path), LiteRt(path.read_bytes()), Comparison()
    with np.load(shared_data / "cifar10" / "test_first500.npz") as archive:
        images = (archive["x"][:100].astype(int) - 128).astype(np.int8)
    classes = golden.run_batch(graph, images).reshape(100, -1).argmax(axis=1)
    expected = []
    for x in images:
        tensors = litert.run(graph, x)
        comparison.layers(graph, tensors)
        expected.append(tensors[graph.output].argmax())
    np.testing.assert_array_equal(classes, expected)
    _check(comparison, 100 * len(graph.layers))


def _check(comparison: Comparison, n_layer_runs: int) -> None:
    print(comparison)
    assert sum(comparison.n_layers.values()) == n_layer_runs
    for kind, largest in comparison.largest.items():
        assert largest <= (0 if kind in EXACT_KINDS else 1), f"{kind} differs by {largest} LSB"
