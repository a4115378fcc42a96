"""The MLPerf Tiny networks on the verilated Z7020: every layer, every sample input, and CIFAR-10 images."""

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.frontends import load_graph
from pumice.inputs import load_input

from .checks import assert_rtl_matches_golden

# Whole inference from doorbell to interrupt may not take longer than this.
NETWORKS = {
    "vww": ("vww_96_int8.tflite", 44_000),
    "ic": ("pretrainedResnet_int8.tflite", 122_000),
    "kws": ("kws_ref_model_int8.tflite", 28_500),
    "ad": ("ad01_int8.tflite", 2_900),
}
SAMPLES_PER_FILE = 4  # the AD files hold 40 windows each


@pytest.fixture(scope="session")
def graphs(shared_data):
    return {name: load_graph(shared_data / "mlperf_tiny" / name / file) for name, (file, _) in NETWORKS.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_every_sample(shared_data, boards, graphs, name):
    files = sorted((shared_data / "mlperf_tiny" / name / "inputs").iterdir())
    samples = [x for file in files for x in load_input(file, graphs[name])[:SAMPLES_PER_FILE]]
    n = assert_rtl_matches_golden(boards("Z7020"), graphs[name], samples)
    assert n >= len(samples) * 10


def test_ten_cifar_images(shared_data, boards, graphs):
    images = np.load(shared_data / "cifar10" / "test_first500.npz")
    array = next(images[key] for key in images.files if images[key].ndim == 4)[:10]
    samples = (array.astype(np.int16) - 128).astype(np.int8)
    board, graph = boards("Z7020"), graphs["ic"]
    image = compile_graph(graph, board.config)
    board.load(image)
    for x in samples:
        expected = golden.run(graph, x, keep=True)[image.metadata["output"]["name"]]
        np.testing.assert_array_equal(image.unpack_output(board.run(image.pack_input(x)).output), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_cycles(boards, graphs, name):
    """Far from the bar means that something broke; figures are kept by ``bench.networks``."""
    board, graph = boards("Z7020"), graphs[name]
    image = compile_graph(graph, board.config)
    board.load(image)
    x = np.zeros(graph.tensors[graph.input].shape, np.int8)
    assert board.run(image.pack_input(x)).cycles <= NETWORKS[name][1]
