"""Golden model against loops written out in Python integers, and its rules for what it takes."""

import numpy as np
import pytest
from pumice import golden
from pumice.errors import InputError
from pumice.frontends.tflite import parse_tflite
from pumice.graph import Add, Conv, Graph, Layer, Pool, Tensor, Window
from pumice.spec.numerics import ADD_LIMIT, MAX_FOLDED_SHIFT, add_coefficients, quantise_multiplier, requantise

from tests.frontends.nets import NETS

SEED = 5


def graph_of(layer: Layer, *shapes: tuple[int, int, int], scales: tuple[float, ...]) -> Graph:
    """``layer`` alone, on tensors ``a`` (and ``b``) to ``y``; the last shape and scale are those of ``y``."""
    names = (*layer.inputs, layer.output)
    tensors = {
        name: Tensor(name=name, shape=shape, scale=scale, zero_point=zero_point)
        for name, shape, scale, zero_point in zip(names, shapes, scales, (-7, 20, 3), strict=False)
    }
    return Graph(name="one", tensors=tensors, layers=[layer], input="a", output="y", input_shape=(), output_shape=())


@pytest.mark.parametrize("single_rounding", [False, True])
@pytest.mark.parametrize(
    ("shape", "window", "groups", "n_out"),
    [
        ((5, 6, 4), Window(kernel=(3, 2), stride=(2, 1), pad_top=1, pad_right=2), 1, 3),
        ((7, 7, 6), Window(kernel=(2, 3), dilation=(3, 2), pad_bottom=1), 3, 6),
        ((4, 4, 3), Window(kernel=(3, 3), pad_top=1, pad_bottom=1, pad_left=1, pad_right=1), 3, 6),
        ((2, 3, 5), Window(kernel=(2, 3)), 1, 4),
        ((1, 1, 1), Window(kernel=(1, 1)), 1, 1),
    ],
)
def test_convolution(shape, window, groups, n_out, single_rounding):
    """Every output as a sum over its window, padding left out; a multiplier above 1 scales sum and bias."""
    rng = np.random.default_rng(SEED)
    group_in, group_out = shape[2] // groups, n_out // groups
    layer = Conv(
        name="y",
        inputs=("a",),
        output="y",
        window=window,
        weights=rng.integers(-128, 128, (n_out, *window.kernel, group_in)).astype(np.int8),
        bias=rng.integers(-1000, 1000, n_out).astype(np.int32),
        scales=np.append(rng.uniform(0.001, 0.01, n_out - 1), 2.7),
        groups=groups,
        low=-100,
        high=90,
        single_rounding=single_rounding,
    )
    layer.weights[-1] = rng.integers(-1, 2, layer.weights.shape[1:])  # so that 2.7 does not saturate
    layer.bias[-1] = -9
    height, width = window.output_size(*shape[:2])
    graph = graph_of(layer, shape, (height, width, n_out), scales=(1.0, 1.0))
    x = rng.integers(-128, 128, shape).astype(np.int8)
    expected = np.empty((height, width, n_out), np.int8)
    for oy, ox, o in np.ndindex(*expected.shape):
        total = 0
        for ky, kx, c in np.ndindex(*layer.weights.shape[1:]):
            iy = oy * window.stride[0] + ky * window.dilation[0] - window.pad_top
            ix = ox * window.stride[1] + kx * window.dilation[1] - window.pad_left
            if 0 <= iy < shape[0] and 0 <= ix < shape[1]:
                total += (int(x[iy, ix, o // group_out * group_in + c]) + 7) * int(layer.weights[o, ky, kx, c])
        multiplier, shift, left = quantise_multiplier(layer.scales[o], single_rounding=single_rounding)
        bias = int(layer.bias[o]) << left
        expected[oy, ox, o] = requantise(total << left, bias, multiplier, shift, 20, -100, 90)
    np.testing.assert_array_equal(golden.run_layer(graph, layer, [x]), expected)


def test_accumulators_wrap():
    """Sums beyond 32 bits wrap as the engine's accumulators do."""
    weights = np.full((1, 1, 1, 70000), -128, np.int8)
    layer = Conv(
        name="y",
        inputs=("a",),
        output="y",
        window=Window(kernel=(1, 1)),
        weights=weights,
        bias=np.zeros(1, np.int32),
        scales=np.array([2.0**-24]),
    )
    graph = graph_of(layer, (1, 1, 70000), (1, 1, 1), scales=(1.0, 1.0))
    graph.tensors["a"] = Tensor(name="a", shape=(1, 1, 70000), scale=1.0, zero_point=127)
    x = np.full((1, 1, 70000), -128, np.int8)
    wrapped = 70000 * 128 * 255 - (1 << 32)
    assert golden.run_layer(graph, layer, [x])[0, 0, 0] == round(wrapped / 2**24) + 20


@pytest.mark.parametrize("mode", ["average", "max"])
def test_pool(mode):
    rng = np.random.default_rng(SEED)
    padding = {"pad_top": 1, "pad_right": 1} if mode == "max" else {}
    window = Window(kernel=(3, 2), stride=(2, 3), **padding)
    layer = Pool(name="y", inputs=("a",), output="y", window=window, mode=mode, low=-90, high=100)
    height, width = window.output_size(8, 9)
    graph = graph_of(layer, (8, 9, 2), (height, width, 2), scales=(0.5, 0.7))
    x = rng.integers(-128, 128, (8, 9, 2)).astype(np.int8)
    expected = np.empty((height, width, 2), np.int8)
    multiplier, shift, _ = quantise_multiplier(0.5 / (0.7 * 6), single_rounding=True)
    for oy, ox, c in np.ndindex(*expected.shape):
        top, left = 2 * oy - window.pad_top, 3 * ox
        values = x[max(0, top) : top + 3, left : left + 2, c].astype(int)
        if mode == "max":
            expected[oy, ox, c] = min(100, max(-90, values.max()))
        else:
            expected[oy, ox, c] = requantise((values + 7).sum(), 0, multiplier, shift, 20, -90, 100)
    np.testing.assert_array_equal(golden.run_layer(graph, layer, [x]), expected)


def test_add():
    rng = np.random.default_rng(SEED)
    layer = Add(name="y", inputs=("a", "b"), output="y", low=-120, high=110)
    graph = graph_of(layer, (4, 3, 5), (4, 3, 5), (4, 3, 5), scales=(0.11, 0.3, 0.35))
    a, b = rng.integers(-128, 128, (2, 4, 3, 5)).astype(np.int8)
    ca, cb, real = add_coefficients(0.11, 0.3, 0.35)
    multiplier, shift, _ = quantise_multiplier(real, single_rounding=True)
    total = ca * (a.astype(int) + 7) + cb * (b.astype(int) - 20)
    np.testing.assert_array_equal(
        golden.run_layer(graph, layer, [a, b]), requantise(total, 0, multiplier, shift, 3, -120, 110)
    )


def test_add_coefficients_keep_the_ratio():
    rng = np.random.default_rng(SEED)
    for scale_a, scale_b, scale_out in np.exp(rng.uniform(-8, 3, (300, 3))):
        ca, cb, real = add_coefficients(scale_a, scale_b, scale_out)
        assert 0 <= min(ca, cb) <= max(ca, cb) <= ADD_LIMIT
        bound = 0.5 / ADD_LIMIT * max(scale_a, scale_b) / scale_out * (1 + 1e-9)
        assert abs(ca * real - scale_a / scale_out) <= bound
        assert abs(cb * real - scale_b / scale_out) <= bound
        assert add_coefficients(scale_b, scale_a, scale_out) == (cb, ca, real)
    assert add_coefficients(100.0, 201.0, 402.0) == (100, 201, 1 / 402)
    assert add_coefficients(0.5, 0.5, 1.0) == (ADD_LIMIT, ADD_LIMIT, 0.5 / ADD_LIMIT)
    with pytest.raises(ValueError, match="finite and positive"):
        add_coefficients(0.0, 1.0, 1.0)


def test_single_rounding_is_the_nearest_integer():
    """Off the exact tie, folding the shift gives what one rounding of the real product gives."""
    rng = np.random.default_rng(SEED)
    for exponent in range(-MAX_FOLDED_SHIFT, 1):
        real = float(rng.uniform(0.5, 1) * 2.0**exponent)
        multiplier, shift, left = quantise_multiplier(real, single_rounding=True)
        assert (shift, left) == (0, 0)
        accumulators = rng.integers(-int(120 / real), int(120 / real), 2000)
        exact = accumulators * real
        clear = np.abs(exact - np.floor(exact) - 0.5) > 1e-3
        made = requantise(accumulators, 0, multiplier, shift, 0, -128, 127)
        np.testing.assert_array_equal(made[clear], np.rint(exact)[clear])
    assert quantise_multiplier(2.0**-15, single_rounding=True) == quantise_multiplier(2.0**-15)


@pytest.mark.parametrize("name", NETS)
def test_batches_and_kept_tensors(name):
    """A batch gives what its samples give one by one, across the chunks of a large batch."""
    graph = parse_tflite(NETS[name](), name)
    rng = np.random.default_rng(SEED)
    x = rng.integers(-128, 128, (golden.BATCH_CHUNK + 3, *graph.tensors[graph.input].shape)).astype(np.int8)
    batch = golden.run_batch(graph, x)
    assert len(batch) == len(x)
    for sample, y in zip(x, batch, strict=True):
        np.testing.assert_array_equal(golden.run(graph, sample), y)
    tensors = golden.run(graph, x[0], keep=True)
    assert {name: values.shape for name, values in tensors.items()} == {
        name: tensor.shape for name, tensor in graph.tensors.items()
    }
    assert golden.run_batch(graph, x[:0]).shape == (0, *graph.tensors[graph.output].shape)


def test_softmax_is_normalised():
    graph = parse_tflite(NETS["classifier"](), "classifier")
    logits = np.array([-128, 0, 1, 2, 127], np.int8)
    probabilities = golden.softmax(graph, graph.layers[-1], logits)
    assert probabilities.dtype == np.float32
    assert probabilities.sum() == pytest.approx(1)
    assert np.all(np.diff(probabilities) >= 0)


def test_quantise_rounds_half_away_from_zero_and_saturates():
    tensor = Tensor(name="t", shape=(1, 1, 6), scale=0.5, zero_point=-10)
    real = np.array([0.25, -0.25, 0.2, 1e9, -1e9, 0.0])
    np.testing.assert_array_equal(golden.quantise(tensor, real), [-9, -11, -10, 127, -128, -10])
    np.testing.assert_array_equal(golden.dequantise(tensor, np.array([-9, 127], np.int8)), np.float32([0.5, 68.5]))


@pytest.mark.parametrize(
    "x", [np.zeros((8, 7, 2), np.int8), np.zeros((8, 7, 3), np.uint8), np.zeros((1, 8, 7, 3), np.int8)]
)
def test_wrong_inputs_are_refused(x):
    graph = parse_tflite(NETS["classifier"](), "classifier")
    with pytest.raises(InputError, match=r"takes int8 of shape \(8, 7, 3\)"):
        golden.run(graph, x)
