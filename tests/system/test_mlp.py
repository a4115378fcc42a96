"""The pruned MNIST perceptron on all lanes: cycles, and the gateware's outputs on 100 test images."""

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.frontends import load_model
from pumice.inputs import convert_input
from pumice.quantise import quantise

from ..frontends.datasets import mnist

MAX_CYCLES = 1600
N_IMAGES = 100


def test_mnist_mlp(shared_data, boards):
    data = mnist(shared_data / "mnist", 500)
    train, test = (images.reshape(-1, 1, 1, 784) / np.float32(255) for images in (data.train, data.test[:N_IMAGES]))
    graph = quantise(load_model(shared_data / "mnist_mlp_pruned" / "model_5P_pruned_weights.npz"), train)
    board = boards("Z7020")
    image = compile_graph(graph, board.config)
    assert {layer["format"] for layer in image.metadata["layers"][:2]} == {"stripes, pairs"}
    board.load(image)
    samples = convert_input(test, graph)
    cycles = set()
    for x in samples:
        run = board.run(image.pack_input(x))
        logits = golden.run(graph, x, keep=True)[image.metadata["output"]["name"]]
        np.testing.assert_array_equal(image.unpack_output(run.output), logits)
        cycles.add(run.cycles)
    assert len(samples) == N_IMAGES
    assert max(cycles) <= MAX_CYCLES, cycles
