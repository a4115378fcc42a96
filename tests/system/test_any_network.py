"""Networks of several formats on the verilated Z7020, bit for bit as golden, and with parts on the host on TINY."""

import numpy as np
import pytest
from pumice import golden
from pumice.cli import app
from pumice.compiler import compile_graph, compile_network
from pumice.device import Device
from pumice.floating import FloatGraph
from pumice.frontends import load_graph, load_model
from pumice.frontends.native_float import save_float_graph
from pumice.frontends.tflite import parse_tflite
from pumice.network import Model
from pumice.pipeline import Pipeline
from pumice.quantise import quantise
from typer.testing import CliRunner

from ..frontends.build_tflite import TfliteBuilder
from ..frontends.test_moves import TFLITE
from ..pruning.nets import residual, samples
from .checks import assert_rtl_matches_golden

SEED = 9
NETWORKS = (
    "onnx_mnist8/model.onnx",
    "onnx_float/model_ad.onnx",
    "onnx_float/model_ic.onnx",
    "jet_tagger/KERAS_3layer_70pruned_retrained_weights.npz",
    "mnist_mlp_pruned/model_25P_pruned_weights.npz",
    "tflm/hello_world_int8.tflite",
)


@pytest.mark.parametrize("file", NETWORKS)
def test_every_layer_is_goldens(shared_data, boards, file):
    """Quantised on noise where the file is float: the bits do not depend on what a sample means."""
    graph, rng = load_model(shared_data / file), np.random.default_rng(SEED)
    if isinstance(graph, FloatGraph):
        graph = quantise(graph, rng.normal(size=(8, *graph.shapes[graph.input])).astype(np.float32))
    samples = [rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8) for _ in range(2)]
    assert assert_rtl_matches_golden(boards("Z7020"), graph, samples) >= 2 * len(samples)


def test_a_dense_layer_of_more_positions_than_taps(shared_data, boards):
    """micro_speech: 500 positions, so a flat copy, and two parts."""
    graph, board = load_model(shared_data / "tflm" / "micro_speech_quantized.tflite"), boards("Z7020")
    network = Device("sim", "simulated", board.config, board).load(Model(graph))
    for x in np.random.default_rng(SEED).integers(-128, 128, (3, *graph.tensors[graph.input].shape)).astype(np.int8):
        result = network.run(x)
        np.testing.assert_array_equal(result.output_raw, golden.run(graph, x).reshape(graph.output_shape))
    assert "reshape" in {layer.kind for layer in result.layers if layer.where == "host"}


def test_shared_weights_are_goldens(boards, tmp_path):
    """As `pumice quantize --codebook 16` writes them: layers whose weights are indices of a codebook."""
    files = [tmp_path / name for name in ("net.pumf", "x.npy", "net.pumq")]
    save_float_graph(residual(), files[0])
    np.save(files[1], samples(32))
    options = ["--calibration", files[1], "--codebook", 16, "--output", files[2]]
    assert CliRunner().invoke(app, list(map(str, ["quantize", files[0], *options]))).exit_code == 0
    graph, board, rng = load_graph(files[2]), boards("TINY"), np.random.default_rng(SEED)
    formats = {layer["name"]: layer["format"] for layer in compile_graph(graph, board.config).metadata["layers"]}
    assert {name: formats[name].partition("+")[2] for name in "abc"} == dict.fromkeys("abc", "codebook")
    inputs = [rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8) for _ in range(3)]
    assert assert_rtl_matches_golden(board, graph, inputs) >= 2 * len(inputs)


@pytest.mark.parametrize("name", TFLITE)
def test_parts_between_host_layers_are_goldens(boards, name):
    net = TfliteBuilder()
    graph = parse_tflite(net.finish(TFLITE[name][0](net)), name)
    board = boards("TINY")
    assert isinstance(compile_network(graph, board.config), Pipeline) == bool(TFLITE[name][1])
    x = np.random.default_rng(SEED).integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    result = Device("sim", "simulated", board.config, board).load(Model(graph)).run(x)
    expected = golden.run(graph, x)
    np.testing.assert_array_equal(result.output_raw, expected.reshape(graph.output_shape))
    assert result.cycles > 0
