"""Half of the weights of MLPerf Tiny's ResNet-8, dropped in one shot and without training, on real images."""

import numpy as np
import pytest
from pumice import golden
from pumice.floating import FloatGraph
from pumice.frontends import load_model
from pumice.inputs import convert_input
from pumice.pruning import parse_pattern
from pumice.pruning.network import prunable
from pumice.pruning.prune import prune, sensitive_sparsities
from pumice.quantise import quantise

from ..frontends.datasets import cifar10

N_CALIBRATION, N_RANGES = 512, 128  # training images to prune with, and to find the ranges of activations
LOST = 10  # of 500 images: 2 points


@pytest.mark.long
def test_half_of_resnet8_costs_two_points_at_most_and_less_than_magnitude(shared_data):
    graph = load_model(shared_data / "mlperf_tiny/ic/pretrainedResnet_float32.tflite")
    data = cifar10(shared_data / "cifar10", N_CALIBRATION)
    assert isinstance(graph, FloatGraph)
    calibration, pattern = data.train.astype(np.float32), parse_pattern("unstructured")

    def n_right(network) -> int:
        integer = quantise(network, calibration[:N_RANGES], method="mse")
        outputs = golden.run_batch(integer, convert_input(data.test.astype(np.float32), integer))
        return int(np.sum(outputs[:, 0, 0].argmax(1) == data.labels))

    found = {}
    for method, samples in (("obs", calibration), ("magnitude", None)):
        shares = sensitive_sparsities(graph, 0.5, pattern, samples=samples, method=method)
        pruned = prune(graph, shares, pattern, samples=samples, method=method)
        weights = [layer.weights for layer in prunable(pruned).values()]
        assert sum(map(np.count_nonzero, weights)) <= 0.505 * sum(map(np.size, weights))
        found[method] = n_right(pruned)
    dense = n_right(graph)
    print(f"of {len(data.labels)}: dense {dense}, {found}")
    assert found["obs"] >= dense - LOST
    assert found["obs"] > found["magnitude"]
