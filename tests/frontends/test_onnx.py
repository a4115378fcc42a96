"""ONNX front end: float graphs against ONNX's reference, quantised graphs, what it refuses, and any bytes at all."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra onnx")

import onnx
from pumice import floating, golden
from pumice.errors import ModelError, PumiceError, UnsupportedModelError
from pumice.floating import FloatAdd, FloatConv, FloatGraph, FloatPool
from pumice.frontends import load_graph, load_model
from pumice.frontends.onnx import parse_onnx
from pumice.graph import Conv, Graph
from pumice.inputs import convert_input, convert_samples
from pumice.quantise import assemble_stated

from .build_onnx import OnnxBuilder, evaluate

SEED = 5
N_MUTATIONS = 300
RNG = np.random.default_rng(SEED)


def _filters(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) * (RNG.random(shape) < 0.6)


def _classifier(net: OnnxBuilder) -> str:
    """Batch normalisation, clip, bias by Add; depthwise; pools; flattened channels first; softmax."""
    x = net.node("Conv", "x", _filters(6, 3, 3, 3), RNG.normal(size=6), pads=[1, 1, 1, 1], strides=[2, 2])
    parameters = [RNG.uniform(0.5, 2, 6), RNG.normal(size=6), RNG.normal(size=6), RNG.uniform(0.5, 2, 6)]
    x = net.node("Clip", net.node("BatchNormalization", x, *parameters), np.float32(0), np.float32(6))
    x = net.node("Conv", x, _filters(6, 1, 3, 3), group=6, auto_pad="SAME_UPPER")
    x = net.node("Relu", net.node("Add", x, RNG.normal(size=(6, 1, 1))))
    x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1])
    x = net.node("AveragePool", x, kernel_shape=[2, 1], strides=[2, 1])
    x = net.node("Flatten", x)
    x = net.node("Gemm", x, _filters(5, 18), RNG.normal(size=5), transB=1, alpha=0.5)
    return net.node("Softmax", x, axis=1)


def _residual(net: OnnxBuilder) -> str:
    """Two readers of a tensor, so that its activation cannot be folded; Pad, constants computed, mean, MatMul."""
    a = net.node("Conv", "x", _filters(4, 3, 1, 1))
    b = net.node("Conv", net.node("Pad", net.node("Relu", a), np.array([0, 0, 1, 1, 0, 0, 1, 1])), _filters(4, 4, 3, 3))
    x = net.node("Relu", net.node("Add", a, b))
    x = net.node("ReduceMean", x, np.array([2, 3]), keepdims=0)
    weights = net.node("Transpose", net.constant(_filters(2, 4)), perm=[1, 0])
    shape = net.node("Concat", net.node("Unsqueeze", net.node("Gather", net.node("Shape", x), 0), [0]), [-1], axis=0)
    return net.node("Sub", net.node("MatMul", net.node("Reshape", x, shape), weights), RNG.normal(size=2))


def _grouped(net: OnnxBuilder) -> str:
    """Groups, dilation, asymmetric padding, factors, an input that is normalised first, global average."""
    x = net.node("Mul", net.node("Sub", "x", RNG.normal(size=(3, 1, 1))), RNG.uniform(0.5, 2, (1, 3, 1, 1)))
    x = net.node("Conv", x, _filters(6, 1, 2, 3), group=3, dilations=[2, 1], pads=[0, 1, 1, 2], strides=[1, 2])
    return net.node("Squeeze", net.node("GlobalAveragePool", net.node("Div", x, np.float32(2))), [2, 3])


NETWORKS = {"classifier": (_classifier, 6), "residual": (_residual, 6), "grouped": (_grouped, 3)}


def _parsed(make, *shape: int | str) -> tuple[FloatGraph, bytes]:
    net = OnnxBuilder(*shape)
    data = net.finish(make(net))
    return parse_onnx(data, "net"), data


@pytest.mark.parametrize("name", NETWORKS)
def test_float_network_is_onnxs(name):
    make, n_layers = NETWORKS[name]
    graph, data = _parsed(make, "batch", 3, 8, 7)
    assert (graph.input_shape, len(graph.layers)) == ((1, 8, 7, 3), n_layers)
    x = np.random.default_rng(SEED).normal(size=(1, 3, 8, 7)).astype(np.float32)
    expected = evaluate(data, x)
    found = floating.run_batch(graph, convert_samples(x, graph)).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_folded():
    graph, _ = _parsed(_classifier, 1, 3, 8, 7)
    conv, depthwise, pool, *_ = graph.layers
    assert isinstance(conv, FloatConv)
    assert (conv.kind, conv.low, conv.high) == ("conv", 0.0, 6.0)
    assert (depthwise.kind, depthwise.low) == ("depthwise", 0.0)
    assert isinstance(pool, FloatPool)
    residual, _ = _parsed(_residual, 1, 3, 8, 7)
    kinds = [getattr(layer, "kind", type(layer)) for layer in residual.layers]
    assert kinds == ["conv", "affine", "conv", FloatAdd, FloatPool, "dense"]


def test_a_network_that_is_channels_last():
    """As TensorFlow's exporter writes it: transposed at the input, and back before it is flattened."""
    net = OnnxBuilder(1, 4, 5, 3)
    x = net.node("Conv", net.node("Transpose", "x", perm=[0, 3, 1, 2]), _filters(2, 3, 1, 1))
    x = net.node("Reshape", net.node("Transpose", x, perm=[0, 2, 3, 1]), np.array([1, -1]))
    data = net.finish(net.node("MatMul", x, _filters(40, 3)))
    graph = parse_onnx(data, "net")
    assert (graph.input_shape, graph.output_shape) == ((1, 4, 5, 3), (1, 3))
    x = RNG.normal(size=(1, 4, 5, 3)).astype(np.float32)
    found = floating.run_batch(graph, convert_samples(x, graph)).reshape(1, 3)
    np.testing.assert_allclose(found, evaluate(data, x), rtol=1e-4, atol=1e-5)


def test_a_flat_input_that_is_reshaped():
    net = OnnxBuilder(1, 30)
    x = net.node("Reshape", "x", np.array([1, 1, 5, 6]))
    data = net.finish(net.node("Conv", x, _filters(2, 1, 3, 3)))
    graph = parse_onnx(data, "net")
    assert (graph.input_shape, graph.shapes["x"], graph.output_shape) == ((1, 30), (5, 6, 1), (1, 3, 4, 2))
    x = RNG.normal(size=(1, 30)).astype(np.float32)
    found = floating.run_batch(graph, convert_samples(x, graph)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, evaluate(data, x), rtol=1e-4, atol=1e-5)


WEIGHTS = np.random.default_rng(1).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
WEIGHT_SCALES = np.float32([0.01, 0.02, 0.005, 0.01])
BIAS = np.array([100, -200, 0, 50], np.int32)
HEAD = np.random.default_rng(2).integers(-127, 128, (4, 2)).astype(np.int8)


def _qdq(net: OnnxBuilder) -> str:
    x = net.quantised("x", 0.05, 3)
    weights = net.node("DequantizeLinear", WEIGHTS, WEIGHT_SCALES, np.zeros(4, np.int8), axis=0)
    bias = net.node("DequantizeLinear", BIAS, np.float32(0.05) * WEIGHT_SCALES, axis=0)
    x = net.quantised(net.node("Relu", net.node("Conv", x, weights, bias)), 0.06, -128)
    x = net.quantised(net.node("GlobalAveragePool", x), 0.03, -128)
    head = net.node("DequantizeLinear", HEAD, np.float32(0.01), np.array(0, np.int8))
    return net.quantised(net.node("MatMul", net.node("Flatten", x), head), 0.02, 1)


def _qlinear(net: OnnxBuilder) -> str:
    """The same, in operators on integers (their activations uint8)."""

    def parameters(scale, zero_point):
        return np.float32(scale), np.array(zero_point + 128, np.uint8)

    weights = WEIGHTS, WEIGHT_SCALES, np.zeros(4, np.int8)
    x = net.node("QuantizeLinear", "x", *parameters(0.05, 3))
    x = net.node("QLinearConv", x, *parameters(0.05, 3), *weights, *parameters(0.06, -128), BIAS)
    x = net.node(
        "QLinearGlobalAveragePool", x, *parameters(0.06, -128), *parameters(0.03, -128), domain="com.microsoft"
    )
    head = HEAD, np.float32(0.01), np.array(0, np.int8)
    x = net.node("QLinearMatMul", net.node("Flatten", x), *parameters(0.03, -128), *head, *parameters(0.02, 1))
    return net.node("DequantizeLinear", x, *parameters(0.02, 1))


def _qlinear_sum(net: OnnxBuilder) -> str:
    """An addition of integers, of two scales."""
    a, b, made = ((np.float32(scale), np.int8(zero)) for scale, zero in ((0.05, 3), (0.02, -7), (0.04, 11)))
    x = net.node("QuantizeLinear", "x", *a)
    y = net.node("QLinearConv", x, *a, WEIGHTS[:3, :, :1, :1], np.float32(0.003), np.int8(0), *b)
    x = net.node("QLinearAdd", x, *a, y, *b, *made, domain="com.microsoft")
    return net.node("DequantizeLinear", x, *made)


def test_quantised_sum():
    """Real numbers to a step of the output; ONNX's reference lacks this operator."""
    graph = assemble_stated(_parsed(_qlinear_sum, 1, 3, 6, 6)[0])
    assert [type(layer).__name__ for layer in graph.layers] == ["Conv", "Add"]
    x = np.random.default_rng(SEED).normal(size=(1, 6, 6, 3)).astype(np.float32)
    tensors = golden.run(graph, convert_input(x, graph)[0], keep=True)
    real = {name: golden.dequantise(graph.tensors[name], values) for name, values in tensors.items()}
    mixed = real["x"] @ (WEIGHTS[:3, :, 0, 0] * 0.003).T
    np.testing.assert_allclose(real[graph.layers[0].output], mixed, atol=0.011)
    np.testing.assert_allclose(real[graph.output], real["x"] + real[graph.layers[0].output], atol=0.021)


@pytest.mark.parametrize("make", [_qdq, _qlinear])
def test_quantised_network(make):
    stated, _ = _parsed(make, 1, 3, 6, 6)
    graph = assemble_stated(stated)
    conv, _, dense = graph.layers
    assert isinstance(conv, Conv)
    np.testing.assert_array_equal(conv.weights, WEIGHTS.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(conv.bias, BIAS)
    np.testing.assert_array_equal(dense.weights[:, 0, 0], HEAD.T)
    np.testing.assert_allclose(conv.scales, 0.05 * WEIGHT_SCALES / 0.06, rtol=1e-6)
    assert {t.name: (round(t.scale, 6), t.zero_point) for t in graph.tensors.values()} == {
        "x": (0.05, 3),
        conv.output: (0.06, -128),
        graph.layers[1].output: (0.03, -128),
        dense.output: (0.02, 1),
    }


def test_quantised_results_are_onnxs():
    graph, data = _parsed(_qdq, 1, 3, 6, 6)
    integer = assemble_stated(graph)
    differences = []
    for x in np.random.default_rng(SEED).normal(size=(20, 1, 3, 6, 6)).astype(np.float32):
        output = golden.run(integer, convert_input(x, integer)[0])
        differences.append(
            golden.dequantise(integer.tensors[integer.output], output).ravel() - evaluate(data, x).ravel()
        )
    assert np.abs(differences).max() < 0.02 * 3  # halves round another way; one step of the mean is 1.9 of the output


def test_quantised_file_loads_as_int8(tmp_path):
    net = OnnxBuilder(1, 3, 6, 6)
    (tmp_path / "net.onnx").write_bytes(net.finish(_qdq(net)))
    assert isinstance(load_graph(tmp_path / "net.onnx"), Graph)


def _conv(net: OnnxBuilder, **attributes) -> str:
    return net.node("Conv", "x", _filters(3, 3, 1, 1), **attributes)


REFUSED = {
    r"gelu1: Gelu is not supported; use Relu.*exp2: Exp is not": lambda net: net.node(
        "Exp", net.node("Gelu", _conv(net))
    ),
    "relu2: Relu is not checked: it reads gelu1": lambda net: net.node("Relu", net.node("Gelu", _conv(net))),
    "over channels is supported": lambda net: net.node("Softmax", _conv(net), axis=2),
    "averages over padding": lambda net: net.node("AveragePool", _conv(net), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "ceil_mode": lambda net: net.node("MaxPool", _conv(net), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "differs from position": lambda net: net.node("Add", _conv(net), RNG.normal(size=(3, 8, 8))),
    "two computed operands.*none of the engine's layers": lambda net: net.node("Mul", _conv(net), _conv(net)),
    "computed weights": lambda net: net.node("Conv", "x", "x"),
    "neither channels first nor last": lambda net: net.node("Transpose", _conv(net), perm=[0, 2, 1, 3]),
    "no quantisation for": lambda net: net.quantised(
        net.node("Relu", net.node("AveragePool", _conv(net), kernel_shape=[2, 2])), 0.1, 0
    ),
    "requantises": lambda net: net.node(
        "DequantizeLinear",
        net.node("QuantizeLinear", _conv(net), np.float32(0.1), np.int8(0)),
        np.float32(0.2),
        np.int8(0),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message, tmp_path):
    net = OnnxBuilder(1, 3, 8, 8)
    (tmp_path / "net.onnx").write_bytes(net.finish(REFUSED[message](net)))
    with pytest.raises(UnsupportedModelError, match=message):
        load_model(tmp_path / "net.onnx")


MALFORMED = {
    "kernel": lambda net: _conv(net, strides=[0, 1]),
    "weights of shape": lambda net: net.node("Conv", "x", _filters(3, 2, 1, 1)),
    "does not fit": lambda net: net.node("Conv", "x", _filters(3, 3, 9, 9)),
    "not finite": lambda net: net.node("Conv", "x", np.full((3, 3, 1, 1), np.nan)),
    "which nobody makes": lambda net: net.node("Relu", "nothing"),
    "reshape": lambda net: net.node("Reshape", _conv(net), np.array([7, -1])),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed(message):
    net = OnnxBuilder(1, 3, 8, 8)
    with pytest.raises(ModelError, match=message):
        parse_onnx(net.finish(MALFORMED[message](net)), "net")


def test_weights_in_another_file_are_refused():
    net = OnnxBuilder(1, 3, 8, 8)
    model = onnx.ModelProto.FromString(net.finish(_conv(net)))
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(UnsupportedModelError, match="lies in another file"):
        parse_onnx(model.SerializeToString(), "net")


def mutate(parse, data: bytes, n: int) -> Counter:
    """Change bytes or cut the end; only Pumice's own errors may come out."""
    rng, outcomes = np.random.default_rng(SEED), Counter()
    print(f"seed {SEED}")
    for _ in range(n):
        forged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            forged[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(0, 256))])
        if rng.random() < 0.1:
            forged = forged[: rng.integers(0, len(data))]
        try:
            parse(bytes(forged))
            outcomes["read"] += 1
        except PumiceError:
            outcomes["refused"] += 1
    return outcomes


def _parse_all(data: bytes) -> None:
    graph = parse_onnx(data, "net")
    if graph.quantisations:
        assemble_stated(graph)


@pytest.mark.parametrize("make", [_classifier, _residual, _qdq, _qlinear])
def test_mutated(make):
    net = OnnxBuilder(1, 3, 8, 7)
    with np.errstate(all="ignore"):
        assert mutate(_parse_all, net.finish(make(net)), N_MUTATIONS)["refused"] > N_MUTATIONS // 20
