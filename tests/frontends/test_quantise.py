"""Post-training quantisation: its arithmetic on small networks, its accuracy on real ones, and that those compile."""

from dataclasses import replace

import numpy as np
import pytest
from pumice import floating, golden
from pumice.errors import InputError
from pumice.floating import FloatGraph
from pumice.frontends import load_model
from pumice.frontends.build import FloatBuilder
from pumice.graph import Conv, Window
from pumice.inputs import convert_input
from pumice.quantise import METHODS, calibrate, quantise
from pumice.spec.config import TINY, Z7020

from ..compiler.checks import assert_matches_golden
from .datasets import cifar10, mnist

SEED = 9
N_CALIBRATION = 200
# Of the training images of IC's makers: usual means and deviations of RGB values.
IC_MEAN, IC_DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _network(seed: int) -> FloatGraph:
    """Every kind of layer; one output without weights, and an activation that is folded."""
    rng, net = np.random.default_rng(seed), FloatBuilder("net")

    def filters(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) * (rng.random(shape) < 0.6)

    x = net.input("x", (7, 9, 3))
    weights = filters(6, 3, 3, 3)
    weights[2] = 0
    window = Window(kernel=(3, 3), pad_top=1, pad_bottom=1, pad_left=1, pad_right=1)
    a = net.affine("relu", net.conv("a", x, weights, rng.normal(size=6), window), low=0.0)
    b = net.conv("b", a, filters(6, 1, 1, 1), None, Window(kernel=(1, 1)), groups=6, low=0.0, high=6.0)
    c = net.pool("max", net.add("sum", a, b), Window(kernel=(3, 3), stride=(2, 2)), "max")
    d = net.dense("d", net.pool("mean", c, Window(kernel=(3, 2)), "average"), filters(5, 1, 3, 6), rng.normal(size=5))
    return net.finish(x, {net.softmax("p", d): (1, 5)}, (1, 7, 9, 3), "test")


def _samples(n: int, seed: int = SEED) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 7, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bias_correction", [False, True])
def test_int8_is_close_to_float(method, bias_correction):
    graph, x = _network(1), _samples(64, seed=2)
    integer = quantise(graph, _samples(N_CALIBRATION), method=method, bias_correction=bias_correction)
    expected = floating.run_batch(graph, x)
    found = golden.dequantise(integer.tensors[integer.output], golden.run_batch(integer, convert_input(x, integer)))
    assert np.abs(found - expected).mean() < 0.02
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.9


@pytest.mark.parametrize("config", [TINY, Z7020])
def test_what_is_made_compiles(config):
    assert_matches_golden(quantise(_network(3), _samples(8)), config, seed=SEED)


def test_scales():
    graph, x = _network(1), _samples(N_CALIBRATION)
    tensors = floating.run_all(graph, x)
    integer = quantise(graph, x, bias_correction=False)
    conv = integer.layers[0]
    assert isinstance(conv, Conv)
    source, output = (integer.tensors[name] for name in (conv.inputs[0], conv.output))
    low, high = tensors["x"].min(), tensors["x"].max()
    np.testing.assert_allclose(source.scale, (high - low) / 255, rtol=1e-6)
    assert source.zero_point == round(-128 - low / source.scale)
    assert (output.zero_point, conv.low) == (-128, -128)  # nothing below 0
    used = np.array([0, 1, 3, 4, 5])
    assert np.all(np.abs(conv.weights[used]).max(axis=(1, 2, 3)) == 127)
    assert not conv.weights[2].any()
    weight_scales = np.abs(graph.layers[0].weights[used]).max(axis=(1, 2, 3)) / 127
    np.testing.assert_allclose(conv.scales[used], source.scale * weight_scales / output.scale, rtol=1e-12)
    np.testing.assert_allclose(
        conv.bias * conv.scales * output.scale, graph.layers[0].bias, atol=output.scale / 100
    )  # fmt: skip
    pooled, made = integer.tensors["sum"], integer.tensors["max"]
    assert (pooled.scale, pooled.zero_point) == (made.scale, made.zero_point)


def test_a_max_pool_keeps_the_quantisation():
    net = FloatBuilder("net")
    x = net.input("x", (4, 4, 1))
    graph = net.finish(x, {net.pool("y", x, Window(kernel=(4, 4)), "max"): (1, 1)}, (1, 4, 4, 1), "test")
    tensors = quantise(graph, np.linspace(-9, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1)).tensors
    assert (tensors["x"].scale, tensors["x"].zero_point) == (tensors["y"].scale, tensors["y"].zero_point)


def test_outliers_do_not_set_the_range():
    net = FloatBuilder("net")
    x = net.input("x", (1, 1, 1))
    graph = net.finish(x, {net.affine("y", x, 1.0, 0.0): (1, 1)}, (1, 1), "test")
    samples = np.random.default_rng(SEED).normal(size=(20_000, 1, 1, 1)).astype(np.float32)
    samples[0], samples[1] = 1000, -100
    ranges = {method: calibrate(graph, samples, method=method, percentile=99.9)["y"][0] * 255 for method in METHODS}
    assert ranges["minmax"] > 1099 > 30 > ranges["percentile"] > 3
    assert ranges["mse"] < ranges["minmax"]


def test_near_zero_weights_count_as_zeros():
    graph, samples = _network(1), _samples(8)
    weights = graph.layers[0].weights
    kept = np.abs(weights) >= 0.3 * np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    integer = quantise(graph, samples, zero_below=0.3)
    np.testing.assert_array_equal(integer.layers[0].weights != 0, kept & (weights != 0))
    assert integer.metadata["zero_below"] == "0.3"


def test_a_channel_that_is_near_zero_as_a_whole_is_zeros():
    """As weight decay leaves it; int8 with a scale of its own would make it dense."""
    graph, samples = _network(1), _samples(8)
    first = graph.layers[0]
    weights, bias = first.weights.copy(), first.bias.copy()
    weights[4], bias[4] = 1e-8 * weights[4], 0
    graph.layers[0] = replace(first, weights=weights, bias=bias)
    found = quantise(graph, samples).layers[0].weights
    assert not found[4].any()
    assert [bool(row.any()) for row in found] == [True, True, False, True, False, True]


def test_channels_of_unequal_range_before_a_depthwise_layer():
    """Their factors move to the weights, so that small channels keep their steps."""
    rng, net = np.random.default_rng(SEED), FloatBuilder("net")
    factors = np.array([1, 0.5, 0.2, 0.1, 0.05, 0.04])
    x = net.input("x", (7, 9, 3))
    weights, bias = rng.normal(size=(6, 1, 1, 3)) * factors[:, None, None, None], rng.normal(size=6) * factors
    x = net.conv("a", x, weights, bias, Window(kernel=(1, 1)), low=0.0)
    weights = rng.normal(size=(6, 3, 3, 1)) / factors[:, None, None, None]
    x = net.conv("b", x, weights, rng.normal(size=6), Window(kernel=(3, 3)), groups=6, kind="depthwise")
    graph, x = net.finish("x", {x: (1, 5, 7, 6)}, (1, 7, 9, 3), "test"), _samples(64, seed=2)
    integer = quantise(graph, _samples(N_CALIBRATION))
    expected = floating.run_batch(graph, x)
    found = golden.dequantise(integer.tensors[integer.output], golden.run_batch(integer, convert_input(x, integer)))
    errors = np.abs(found - expected).mean(axis=(0, 1, 2)) / expected.std(axis=(0, 1, 2))
    assert errors.max() < 0.1


def test_bias_correction_removes_the_mean_error():
    """Of a layer whose weights lose much by rounding: one large weight to a channel sets the scale."""
    rng, net = np.random.default_rng(SEED), FloatBuilder("net")
    x = net.input("x", (1, 1, 400))
    weights = rng.uniform(0.2, 0.45, (3, 1, 1, 400)) / 127
    weights[:, 0, 0, 0] = 1.0  # the others round to 0
    graph = net.finish(x, {net.dense("y", x, weights, None): (1, 3)}, (1, 400), "test")
    samples = rng.uniform(0, 1, (100, 1, 1, 400)).astype(np.float32)
    errors = []
    for bias_correction in (False, True):
        integer = quantise(graph, samples, bias_correction=bias_correction)
        output = golden.dequantise(integer.tensors["y"], golden.run_batch(integer, convert_input(samples, integer)))
        errors.append(np.abs((output - floating.run_batch(graph, samples)).mean(axis=0)).max())
    assert errors[0] > 0.4
    assert errors[1] < 0.02


@pytest.mark.parametrize("codebook", [2, 16])
def test_weights_share_the_values_of_a_codebook(codebook):
    """Few values in each layer, zeros where they were; with 16 about as good as without."""
    graph, x = _network(1), _samples(64, seed=2)
    plain, shared = (quantise(graph, _samples(N_CALIBRATION), codebook=n) for n in (None, codebook))
    n_values = []
    for layer, other in zip(plain.layers, shared.layers, strict=True):
        if isinstance(layer, Conv) and isinstance(other, Conv):
            n_values.append(len(np.unique(other.weights[other.weights != 0])))
            np.testing.assert_array_equal(other.weights == 0, layer.weights == 0)
    assert max(n_values) == codebook - 1
    expected = floating.run_batch(graph, x)
    found = golden.dequantise(shared.tensors[shared.output], golden.run_batch(shared, convert_input(x, shared)))
    assert np.abs(found - expected).mean() < {2: 0.2, 16: 0.03}[codebook]
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > {2: 0.5, 16: 0.9}[codebook]


def test_a_codebook_is_what_the_engine_reads():
    """The compiler takes 4 bits for each weight, and what it writes computes what golden does."""
    rng, net = np.random.default_rng(SEED), FloatBuilder("shared")
    x = net.input("x", (5, 6, 8))
    window = Window(kernel=(3, 3), pad_top=1, pad_bottom=1, pad_left=1, pad_right=1)
    y = net.conv("a", x, rng.normal(size=(12, 3, 3, 8)) * (rng.random((12, 3, 3, 8)) < 0.4), None, window, low=0.0)
    y = net.conv("b", y, rng.normal(size=(8, 3, 3, 12)), rng.normal(size=8), window)
    graph = net.finish(x, {y: (1, 5, 6, 8)}, (1, 5, 6, 8), "test")
    integer = quantise(graph, rng.normal(size=(32, 5, 6, 8)).astype(np.float32), codebook=16)
    image = assert_matches_golden(integer, TINY, seed=SEED)
    formats = [layer["format"] for layer in image.metadata["layers"]]
    assert all(name.endswith("+codebook") for name in formats), formats


@pytest.mark.parametrize(
    "options", [{"method": "best"}, {"percentile": 40.0}, {"zero_below": 1.5}, {"codebook": 1}, {"codebook": 257}]
)
def test_refused_options(options):
    with pytest.raises(InputError):
        quantise(_network(1), _samples(1), **options)


def test_no_samples():
    with pytest.raises(InputError, match="at least one sample"):
        quantise(_network(1), _samples(0))


def _accuracy(graph: FloatGraph, calibration: np.ndarray, test: np.ndarray, labels: np.ndarray) -> float:
    integer = quantise(graph, calibration)
    output = golden.run_batch(integer, convert_input(test, integer)).reshape(len(test), -1)
    return float((output.argmax(1) == labels).mean())


def test_mnist8(shared_data):
    data = mnist(shared_data / "mnist", 500)
    graph = load_model(shared_data / "onnx_mnist8" / "model.onnx")
    images = data.test.astype(np.float32)
    assert _accuracy(graph, data.train.astype(np.float32), images, data.labels) >= 0.985
    image = assert_matches_golden(quantise(graph, data.train[:50].astype(np.float32)), Z7020, seed=SEED)
    assert [layer["name"] for layer in image.metadata["layers"] if layer["scattered"]] == ["Pooling160_Output_0"]


@pytest.mark.parametrize(("name", "least"), [("5P", 0.982), ("25P", 0.977)])
def test_mnist_mlp(shared_data, name, least):
    data = mnist(shared_data / "mnist", 500)
    graph = load_model(shared_data / "mnist_mlp_pruned" / f"model_{name}_pruned_weights.npz")
    train, test = (images.reshape(-1, 1, 1, 784) / np.float32(255) for images in (data.train, data.test))
    assert _accuracy(graph, train, test, data.labels) >= least


def test_image_classification(shared_data):
    """Int8 against float on 500 test images of CIFAR-10."""
    data = cifar10(shared_data / "cifar10", N_CALIBRATION)
    train, test = (((v / 255 - IC_MEAN) / IC_DEVIATION).astype(np.float32) for v in (data.train, data.test))
    graph = load_model(shared_data / "onnx_float" / "model_ic.onnx")
    expected = (floating.run_batch(graph, test).reshape(500, 10).argmax(1) == data.labels).mean()
    assert expected == 0.822
    assert _accuracy(graph, train, test, data.labels) >= expected - 0.015


def test_anomaly_detection(shared_data):
    """The reconstruction error of the sample, which is the network's score."""
    graph = load_model(shared_data / "onnx_float" / "model_ad.onnx")
    with np.load(shared_data / "onnx_float" / "ad_sample_data.npz") as data:
        x = data["actual_input_1"].astype(np.float32).reshape(1, 1, 1, 640)
    integer = quantise(graph, x)
    output = golden.dequantise(integer.tensors[integer.output], golden.run_batch(integer, convert_input(x, integer)))
    score, expected = (float(np.mean((x - y) ** 2)) for y in (output, floating.run_batch(graph, x)))
    assert abs(score - expected) < 0.01 * expected


def test_jet_tagger_compiles(shared_data):
    graph = load_model(shared_data / "jet_tagger" / "KERAS_3layer_70pruned_retrained_weights.npz")
    samples = np.random.default_rng(SEED).normal(size=(N_CALIBRATION, 1, 1, 16)).astype(np.float32)
    integer = quantise(graph, samples)
    assert_matches_golden(replace(integer, name="jets"), Z7020, seed=SEED)
    expected, found = (
        y.reshape(-1, 5).argmax(1)
        for y in (floating.run_batch(graph, samples), golden.run_batch(integer, convert_input(samples, integer)))
    )
    assert (expected == found).mean() > 0.9
