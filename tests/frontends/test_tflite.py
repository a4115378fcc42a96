"""TensorFlow Lite front end: what graphs it makes, what it refuses and how, and any bytes at all."""

import struct
from collections import Counter

import numpy as np
import pytest
from pumice.errors import ModelError, PumiceError, UnsupportedModelError
from pumice.frontends import load_graph
from pumice.frontends.tflite import load_tflite, parse_tflite
from pumice.graph import Add, Conv, Graph, Pool, Softmax, Window

from .build_tflite import TfliteBuilder
from .nets import NETS, Weights

SEED = 3
N_MUTATIONS = 400
BYTE_VALUES = (0, 1, 0x7F, 0x80, 0xFF)
WORD_VALUES = (0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x10000000)


def test_classifier():
    graph = parse_tflite(NETS["classifier"](), "classifier")
    conv, depthwise, average, logits, softmax = graph.layers
    assert [type(layer) for layer in graph.layers] == [Conv, Conv, Pool, Conv, Softmax]
    assert [layer.name for layer in graph.layers] == ["conv", "depthwise", "average", "logits", "probabilities"]
    assert (graph.input, graph.output, graph.input_shape, graph.output_shape) == (
        "input",
        "probabilities",
        (1, 8, 7, 3),
        (1, 5),
    )
    # SAME with stride 2: one position short on an even height (below), one on each side of an odd width
    assert conv.window == Window(kernel=(3, 3), stride=(2, 2), pad_bottom=1, pad_left=1, pad_right=1)
    assert (conv.kind, conv.groups, conv.low, conv.high) == ("conv", 1, graph.tensors["conv"].zero_point, 127)
    assert (depthwise.kind, depthwise.groups, depthwise.weights.shape) == ("depthwise", 6, (12, 3, 3, 1))
    tensor = graph.tensors["depthwise"]
    assert (depthwise.low, depthwise.high) == (tensor.zero_point, tensor.zero_point + round(6 / tensor.scale))
    assert (average.mode, average.window) == ("average", Window(kernel=(2, 2)))
    assert (logits.kind, logits.weights.shape, logits.window) == ("dense", (5, 3, 3, 12), Window(kernel=(3, 3)))
    assert (logits.single_rounding, conv.single_rounding) == (True, False)
    assert softmax.inputs == ("logits",)


def test_weights_and_scales_are_the_files():
    weights = Weights(8).layer(4, 2, 3, 6)
    net = TfliteBuilder()
    x = net.input((1, 5, 5, 6), scale=0.25, zero_point=3)
    x = net.depthwise(
        x, np.arange(-54, 54, dtype=np.int8).reshape(1, 3, 3, 12), np.arange(12), weight_scales=np.arange(1, 13) / 64,
        scale=0.5,
    )  # fmt: skip
    y = net.conv(net.reshape(x, (1, 5, 5, 12)), **(weights | {"weights": Weights(9).filters(4, 2, 3, 6)}))
    graph = parse_tflite(net.finish(y), "net")
    depthwise, conv = graph.layers
    np.testing.assert_array_equal(depthwise.weights[5, :, :, 0], np.arange(-54, 54).reshape(3, 3, 12)[..., 5])
    np.testing.assert_array_equal(depthwise.bias, np.arange(12))
    np.testing.assert_allclose(depthwise.scales, 0.25 * np.arange(1, 13) / 64 / 0.5, rtol=1e-7)
    assert conv.groups == 2
    np.testing.assert_array_equal(conv.weights, Weights(9).filters(4, 2, 3, 6))
    expected = 0.5 * weights["weight_scales"] / weights["scale"]
    np.testing.assert_allclose(conv.scales, expected, rtol=1e-6)
    assert (conv.weights.dtype, conv.bias.dtype, conv.scales.dtype) == (np.int8, np.int32, np.float64)


def test_explicit_padding_joins_the_window():
    graph = parse_tflite(NETS["windows"](), "windows")
    grouped, strided, pool, dilated = graph.layers
    assert (grouped.groups, grouped.window.dilation) == (2, (2, 1))
    assert strided.inputs == ("grouped",)
    assert strided.window == Window(kernel=(3, 2), stride=(2, 1), pad_top=1, pad_bottom=2, pad_right=1)
    assert (pool.mode, pool.window.pad_top, pool.window.pad_bottom) == ("max", 1, 1)
    tensor = graph.tensors["dilated"]
    steps = round(1 / tensor.scale)
    assert (dilated.low, dilated.high) == (
        max(-128, tensor.zero_point - steps),
        min(127, tensor.zero_point + steps),
    )


def test_residual():
    graph = parse_tflite(NETS["residual"](), "residual")
    *_, add, mean = graph.layers
    assert isinstance(add, Add)
    assert (add.inputs, add.low) == (("left", "right"), -128)
    assert (mean.mode, mean.window, graph.tensors["mean"].shape) == ("average", Window(kernel=(6, 6)), (1, 1, 8))


def test_borders():
    graph = parse_tflite(NETS["float_borders"](), "float_borders")
    assert (graph.input, graph.input_shape, graph.tensors[graph.input].shape) == ("quantised", (1, 5, 4, 3), (5, 4, 3))
    mean, everywhere = graph.layers
    assert (mean.window.kernel, everywhere.window.kernel, graph.tensors["everywhere"].shape) == (
        (5, 1),
        (1, 1),
        (1, 4, 2),
    )
    assert (graph.output, graph.output_shape) == ("everywhere", (1, 1, 4, 2))


def test_reshaped_input_is_laid_out_by_the_host():
    net = TfliteBuilder()
    x = net.reshape(net.input((1, 12), scale=0.1), (1, 2, 3, 2))
    x = net.conv(x, **Weights(1).layer(2, 1, 1, 2), name="y")
    graph = parse_tflite(net.finish(x), "net")
    assert (graph.input_shape, graph.tensors[graph.input].shape) == ((1, 12), (2, 3, 2))


def test_equal_names_are_told_apart():
    net = TfliteBuilder()
    x = net.input((1, 4, 4, 1), scale=0.1, name="x")
    x = net.max_pool(net.max_pool(x, (2, 2), name="x"), (2, 2), name="x")
    graph = parse_tflite(net.finish(x), "net")
    assert graph.layers[1].inputs == (graph.layers[0].output,)
    assert len(graph.tensors) == 3


@pytest.mark.parametrize("dtype", ["INT8", "FLOAT32"])
def test_layers_are_called_after_the_last_operator_that_became_them(dtype):
    """TensorFlow's converter joins names; where the first part alone is not unique, all are kept."""
    net = TfliteBuilder()
    x = net.input((1, 8, 8, 1), scale=0.1, dtype=dtype)
    names = ("pool/Max;conv/Conv2D", "same;a", "same;b")
    for i, name in enumerate(names):
        shape = (1, 4 >> i, 4 >> i, 1)
        options = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2, "Padding": 1}
        x = net.operator(
            "MAX_POOL_2D", [x], shape, options_table="Pool2DOptions", options=options, like=x, dtype=dtype, name=name
        )
    layers = parse_tflite(net.finish(x), "net").layers
    assert [layer.name for layer in layers] == ["pool/Max", "same;a", "same;b"]
    assert [layer.output for layer in layers] == list(names)


def test_what_the_output_does_not_need_is_ignored():
    net = TfliteBuilder()
    x = net.input((1, 4), scale=0.1)
    net.operator("TANH", [x], (1, 4), scale=0.1)
    y = net.fully_connected(x, **Weights(1).layer(2, 4))
    assert len(parse_tflite(net.finish(y), "net").layers) == 1


# Refusals


def _image(net: TfliteBuilder):
    return net.input((1, 4, 4, 2), scale=0.1, zero_point=-3)


def _half_model(net):
    x = net.input((1, 4), dtype="FLOAT16")
    weights = net.constant(np.zeros((2, 4), np.float16))
    options = {"options_table": "FullyConnectedOptions"}
    return net.operator("FULLY_CONNECTED", [x, weights], (1, 2), dtype="FLOAT16", **options)


def _uint8_model(net):
    x = net.input((1, 4, 4, 1), scale=0.1, dtype="UINT8")
    options = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2, "Padding": 1}
    return net.operator("MAX_POOL_2D", [x], (1, 2, 2, 1), options_table="Pool2DOptions", options=options, dtype="UINT8")


def _dynamic_model(net):
    x = net.tensor("x", (1, 1, 4, 2), scale=0.1, signature=(-1, -1, 4, 2))
    net._inputs.append(x.index)
    return net.conv(x, **Weights(1).layer(2, 1, 1, 2))


def _two_inputs(net):
    return net.add(_image(net), _image(net), scale=0.1)


def _batch_model(net):
    return net.max_pool(net.input((2, 4, 4, 1), scale=0.1), (2, 2))


def _add_constant(net):
    constant = net.constant(np.zeros((1, 4, 4, 2), np.int8), scale=0.1)
    return net.add(_image(net), constant, scale=0.1)


def _broadcast(net):
    x = _image(net)
    return net.add(x, net.mean(x, keep_dims=True), scale=0.1)


def _weight_zero_point(net):
    return net.conv(_image(net), **Weights(1).layer(2, 1, 1, 2), weight_zero_point=4)


def _computed_weights(net):
    x = _image(net)
    options = {"Padding": 1, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    return net.operator("CONV_2D", [x, x], (1, 4, 4, 1), options_table="Conv2DOptions", options=options, scale=0.1)


def _nothing(net):
    return _image(net)


REFUSED = {
    "computes in FLOAT16": _half_model,
    "computes in UINT8": _uint8_model,
    r"dynamic shape \(1, -1, 4, 2\)": _dynamic_model,
    "has 2 inputs and 1 outputs, where 1": _two_inputs,
    "a batch of 1": _batch_model,
    "adds a constant": _add_constant,
    r"adds shapes \(4, 4, 2\) and \(1, 1, 2\)": _broadcast,
    "averages over padding": lambda net: net.average_pool(_image(net), (3, 3), padding="SAME"),
    "zero point other than 0": _weight_zero_point,
    "fused activation": lambda net: net.conv(_image(net), **Weights(1).layer(2, 1, 1, 2), activation="TANH"),
    r"reduces axes \[3\]": lambda net: net.mean(_image(net), (3,), keep_dims=True),
    "has computed weights, where constant INT8": _computed_weights,
    "no layers": _nothing,
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    net = TfliteBuilder()
    output = REFUSED[message](net)
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        parse_tflite(net.finish(output), "net")
    assert str(caught.value).startswith("net: ")


def test_every_unsupported_layer_is_named():
    net = TfliteBuilder()
    x = net.operator(
        "MUL", [_image(net)], (1, 4, 4, 2), options_table="MulOptions", scale=1 / 256, zero_point=-128, name="gate"
    )
    x = net.conv(x, **Weights(1).layer(2, 1, 1, 2), name="fine")
    x = net.operator("CUSTOM", [x], (1, 4, 4, 2), scale=0.1, name="mine", custom="Detection")
    x = net.operator("EXP", [x], (1, 8, 8, 2), scale=0.1, name="larger")
    with pytest.raises(UnsupportedModelError) as caught:
        parse_tflite(net.finish(x), "net")
    message = str(caught.value)
    for expected in (
        "layer gate: MUL",
        "layer mine: CUSTOM Detection",
        "layer larger: EXP",
        "a product of two maps, such as a gate, is none of the engine's layers",
    ):
        assert expected in message
    assert "fine" not in message


def test_every_refused_layer_is_named():
    """Supported operators with unsupported settings are collected too."""
    net = TfliteBuilder()
    x = net.conv(_image(net), **Weights(1).layer(2, 1, 1, 2), activation="TANH", name="first")
    x = net.average_pool(x, (3, 3), padding="SAME", name="second")
    with pytest.raises(UnsupportedModelError, match=r"layer first: .*; layer second: "):
        parse_tflite(net.finish(x), "net")


def test_several_subgraphs_and_equal_outputs_are_refused():
    for options, message in (({"subgraphs": 2}, "has 2 subgraphs, where 1"), ({}, "twice")):
        net = TfliteBuilder()
        x = net.max_pool(_image(net), (2, 2))
        outputs = [x] if options else [net.reshape(x, (1, 8), name="flat"), x]
        with pytest.raises(UnsupportedModelError, match=message):
            parse_tflite(net.finish(*outputs, **options), "net")


def _wrong_size(net):
    w = net.tensor("w", (3, 32), scale=0.1, data=np.zeros((3, 31), np.int8))
    x = net.input((1, 32), scale=0.1)
    return net.operator("FULLY_CONNECTED", [x, w], (1, 3), options_table="FullyConnectedOptions", scale=0.1)


def _wrong_output(net):
    x = _image(net)
    options = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2, "Padding": 1}
    return net.operator("MAX_POOL_2D", [x], (1, 3, 2, 2), options_table="Pool2DOptions", options=options, like=x)


def _wrong_options(net):
    x = _image(net)
    return net.operator("MAX_POOL_2D", [x], (1, 2, 2, 2), options_table="SoftmaxOptions", like=x)


def _zero_stride(net):
    x = _image(net)
    options = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 0, "StrideW": 2, "Padding": 1}
    return net.operator("MAX_POOL_2D", [x], (1, 2, 2, 2), options_table="Pool2DOptions", options=options, like=x)


def _channel_scales(net):
    layer = Weights(1).layer(3, 1, 1, 2) | {"weight_scales": np.ones(2)}
    return net.conv(_image(net), **layer)


def _no_buffers(net):
    net._buffers.clear()
    return net.max_pool(_image(net), (2, 2))


MALFORMED = {
    "buffer 0 does not exist": _no_buffers,
    "takes 96 bytes, but its buffer has 93": _wrong_size,
    r"makes shape \(2, 2, 2\), but the file says \(3, 2, 2\)": _wrong_output,
    "needs options of type Pool2DOptions": _wrong_options,
    "all must be positive": _zero_stride,
    "2 scales for shape": _channel_scales,
    "MEAN has no axes": lambda net: net.operator("MEAN", [_image(net)], (1, 2), scale=0.1),
    "impossible scale": lambda net: net.max_pool(net.input((1, 4, 4, 1), scale=float("nan")), (2, 2)),
    "or zero point 300": lambda net: net.max_pool(net.input((1, 4, 4, 1), scale=0.1, zero_point=300), (2, 2)),
    "impossible shape": lambda net: net.max_pool(net.input((1, 1 << 20, 1 << 20, 1), scale=0.1), (2, 2)),
    r"weights of shape \(2, 7\) for an input": lambda net: net.fully_connected(
        net.input((1, 10), scale=0.1), **Weights(1).layer(2, 7)
    ),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed(message):
    net = TfliteBuilder()
    output = MALFORMED[message](net)
    with pytest.raises(ModelError, match=message):
        parse_tflite(net.finish(output), "net")


# Files


def test_files_of_no_known_kind(tmp_path):
    for path, message in ((tmp_path / "none.tflite", "no such file"), (tmp_path, "not a file")):
        with pytest.raises(ModelError, match=message):
            load_graph(path)
    for name, message in (("model.h5", "neither its content nor its extension"), ("model.tflite", "bytes 4 to 7")):
        for data in (b"", b"PK", b"\x89HDF\r\n\x1a\n" * 9):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ModelError, match=message):
                load_graph(tmp_path / name)


def test_content_goes_before_the_extension(tmp_path):
    path = tmp_path / "network.bin"
    path.write_bytes(NETS["dense"]())
    assert load_graph(path).name == "network"
    assert [layer.name for layer in load_tflite(path).layers] == ["wide", "narrow"]


def test_truncated_files():
    data = NETS["classifier"]()
    for length in range(0, len(data), 7):
        with pytest.raises(ModelError):
            parse_tflite(data[:length], "short")


@pytest.mark.parametrize("name", NETS)
def test_mutated_files(name):
    assert _mutate(NETS[name](), N_MUTATIONS)["refused"] > N_MUTATIONS // 20


@pytest.mark.parametrize(
    "file", ["hello_world_int8.tflite", "micro_speech_quantized.tflite", "kws_ref_model_int8.tflite"]
)
def test_mutated_real_files(shared_data, file):
    (path,) = shared_data.rglob(file)
    assert _mutate(path.read_bytes(), N_MUTATIONS)["refused"] > 0


def test_real_files_that_are_refused(shared_data):
    for file, error, message in (
        ("tflm/person_detect.tflite", ModelError, "quantized_dimension 3"),
        ("mlperf_tiny/ic/pretrainedResnet_float32.tflite", UnsupportedModelError, "computes in floating point"),
    ):
        with pytest.raises(error, match=message):
            load_graph(shared_data / file)


def _mutate(data: bytes, n: int) -> Counter:
    """Flip bytes, forge words (aligned, as the file's are) or cut the end; only Pumice's own errors may come out."""
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    outcomes = Counter()
    for _ in range(n):
        forged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            kind = rng.integers(4)
            if kind == 0:
                forged[rng.integers(len(forged))] = rng.choice(BYTE_VALUES)
            elif kind == 1:
                forged[rng.integers(len(forged))] ^= 1 << rng.integers(8)
            elif kind == 2:
                word = int(rng.choice(WORD_VALUES)) if rng.random() < 0.7 else int(rng.integers(len(forged)))
                struct.pack_into("<I", forged, 4 * int(rng.integers(len(forged) // 4)), word)
            else:
                forged[-int(rng.integers(1, 64)) :] = b""
        try:
            graph = parse_tflite(bytes(forged), "forged")
        except PumiceError:
            outcomes["refused"] += 1
        else:
            _check(graph)
            outcomes["read"] += 1
    assert sum(outcomes.values()) == n
    return outcomes


def _check(graph: Graph) -> None:
    """Tensors are made once, before they are read; shapes agree."""
    made = {graph.input}
    for layer in graph.layers:
        assert made.issuperset(layer.inputs)
        assert layer.output not in made
        made.add(layer.output)
        source, output = graph.tensors[layer.inputs[0]].shape, graph.tensors[layer.output].shape
        if isinstance(layer, Conv | Pool):
            assert layer.window.output_size(*source[:2]) == output[:2]
        if isinstance(layer, Conv):
            assert layer.weights.shape == (output[2], *layer.window.kernel, source[2] // layer.groups)
            assert layer.bias.shape == layer.scales.shape == (output[2],)
        if not isinstance(layer, Softmax):
            assert -128 <= layer.low <= layer.high <= 127
    assert made == set(graph.tensors)
    assert graph.output in made
