"""Operators that move values, resize, or are functions of a value: against LiteRT and ONNX's own implementation."""

from collections.abc import Callable

import numpy as np
import pytest
from onnx import helper
from pumice import golden
from pumice.device import open_device
from pumice.floating import run_all, run_batch
from pumice.frontends.native import graph_bytes, parse_native
from pumice.frontends.native_float import float_graph_bytes, parse_float_native
from pumice.frontends.onnx import parse_onnx
from pumice.frontends.tflite import parse_tflite
from pumice.graph import Graph
from pumice.network import Model
from pumice.pipeline import Pipeline
from pumice.quantise import quantise
from pumice.spec.config import TINY
from pumice.split import runs_on_engine, split

from ..golden.litert import Comparison, LiteRt
from .build_onnx import OnnxBuilder, evaluate
from .build_tflite import Made, TfliteBuilder
from .nets import Weights

SEED = 5


def _conv(net: TfliteBuilder, x: Made, n: int = 8, name: str = "conv") -> Made:
    return net.conv(x, **Weights(7).layer(n, 3, 3, x.shape[3]), activation="RELU", name=name)


def _moved(net, operator, x, shape, table=None, extra=(), like=None, **options) -> Made:
    inputs = [*(x if isinstance(x, list) else [x]), *(net.constant(np.array(v, np.int32)) for v in extra)]
    fields = {"options_table": table, "options": options} if table else {}
    return net.operator(
        operator, inputs, shape, like=like or inputs[0], name=f"{operator.lower()} to {shape}", **fields
    )


def _concat(net: TfliteBuilder) -> Made:
    x = net.input((1, 6, 5, 3), scale=0.05, zero_point=-5)
    a = _conv(net, x, 4, "a")
    b = net.max_pool(a, (3, 3), stride=(1, 1), padding="SAME", name="b")
    made = _moved(net, "CONCATENATION", [a, b], (1, 6, 5, 8), "ConcatenationOptions", Axis=3, FusedActivationFunction=0)
    return _conv(net, made, 3, "y")


def _slices(net: TfliteBuilder) -> Made:
    x = _conv(net, net.input((1, 8, 8, 3), scale=0.05, zero_point=-5), 6)
    x = _moved(net, "SLICE", x, (1, 6, 5, 4), extra=([0, 1, 2, 1], [1, 6, 5, 4]))
    masks = dict.fromkeys(("EllipsisMask", "NewAxisMask", "ShrinkAxisMask"), 0) | {"BeginMask": 4, "EndMask": 4}
    x = _moved(
        net, "STRIDED_SLICE", x, (1, 3, 3, 4), "StridedSliceOptions",
        extra=([0, 0, 3, 0], [1, 6, 1, 4], [1, 2, 2, 1]), **masks,
    )  # fmt: skip
    return _conv(net, x, 2, "y")


def _blocks(net: TfliteBuilder) -> Made:
    x = _conv(net, net.input((1, 6, 4, 3), scale=0.05, zero_point=-5), 8)
    x = _moved(net, "SPACE_TO_DEPTH", x, (1, 3, 2, 32), "SpaceToDepthOptions", BlockSize=2)
    x = _conv(net, x, 8, "between")
    return _moved(net, "DEPTH_TO_SPACE", x, (1, 6, 4, 2), "DepthToSpaceOptions", BlockSize=2)


def _pads(net: TfliteBuilder) -> Made:
    x = _conv(net, net.input((1, 6, 6, 3), scale=0.05, zero_point=-5), 4)
    x = net.pad(x, ((0, 0), (1, 0), (2, 1), (0, 2)))
    x = _moved(
        net, "MIRROR_PAD", x, (1, 9, 11, 6), "MirrorPadOptions", extra=([[0, 0], [1, 1], [1, 1], [0, 0]],), Mode=0
    )
    return _conv(net, x, 2, "y")


def _sizes(net: TfliteBuilder) -> Made:
    x = _conv(net, net.input((1, 4, 5, 3), scale=0.05, zero_point=-5), 4)
    half = {"AlignCorners": False, "HalfPixelCenters": True}
    corners = {"AlignCorners": True, "HalfPixelCenters": False}
    x = _moved(net, "RESIZE_BILINEAR", x, (1, 8, 10, 4), "ResizeBilinearOptions", extra=([8, 10],), **half)
    x = _conv(net, x, 4, "between")
    x = _moved(
        net, "RESIZE_NEAREST_NEIGHBOR", x, (1, 12, 10, 4), "ResizeNearestNeighborOptions", extra=([12, 10],), **half
    )
    x = _conv(net, x, 3, "behind")
    return _moved(net, "RESIZE_BILINEAR", x, (1, 7, 13, 3), "ResizeBilinearOptions", extra=([7, 13],), **corners)


def _functions(net: TfliteBuilder) -> Made:
    x = _conv(net, net.input((1, 4, 4, 3), scale=0.05, zero_point=-5), 4)
    x = net.operator("HARD_SWISH", [x], x.shape, scale=0.03, zero_point=-100, name="hard_swish")
    options = {"options_table": "LeakyReluOptions", "options": {"Alpha": 0.1}}
    x = net.operator("LEAKY_RELU", [x], x.shape, scale=0.03, zero_point=-90, name="leaky", **options)
    x = net.conv(x, **Weights(3).layer(4, 1, 1, 4), name="between")
    x = net.operator("TANH", [x], x.shape, scale=1 / 128, zero_point=0, name="tanh")
    x = net.conv(x, **Weights(4).layer(4, 1, 1, 4), name="behind")
    return net.operator("LOGISTIC", [x], x.shape, scale=1 / 256, zero_point=-128, name="logistic")


def _slopes(net: TfliteBuilder) -> Made:
    """A slope for each channel, and clamps of their own."""
    x = net.conv(net.input((1, 4, 4, 3), scale=0.05, zero_point=-5), **Weights(7).layer(4, 3, 3, 3), name="conv")
    slopes = net.constant(np.array([[[-50, 10, 90, 127]]], np.int8), scale=0.01)
    x = net.operator("PRELU", [x, slopes], x.shape, scale=0.05, zero_point=-20, name="prelu")
    x = net.conv(x, **Weights(3).layer(4, 1, 1, 4), name="between")
    x = net.operator("RELU", [x], x.shape, scale=0.04, zero_point=-128, name="relu")
    x = net.conv(x, **Weights(5).layer(4, 1, 1, 4), name="further")
    return net.operator("RELU6", [x], x.shape, scale=6 / 255, zero_point=-128, name="relu6")


def _views(net: TfliteBuilder) -> Made:
    """A transposition, one that a view undoes, and a change of scale."""
    x = _conv(net, net.input((1, 4, 6, 3), scale=0.05, zero_point=-5), 5)
    x = _moved(net, "TRANSPOSE", x, (1, 6, 5, 4), "TransposeOptions", extra=([0, 2, 3, 1],))
    x = _conv(net, x, 3, "between")
    x = net.quantize(x, scale=0.11, zero_point=9, name="scaled")
    x = net.conv(x, **Weights(2).layer(4, 6, 5, 3), padding="VALID", name="whole")
    x = _moved(net, "SQUEEZE", x, (1, 4), "SqueezeOptions")
    x = net.fully_connected(x, **Weights(6).layer(3, 4), name="logits")
    return _moved(net, "EXPAND_DIMS", x, (1, 1, 3), "ExpandDimsOptions", extra=(1,))


def _transposed(net: TfliteBuilder) -> Made:
    x = _conv(net, net.input((1, 4, 3, 3), scale=0.05, zero_point=-5), 4)
    rng = np.random.default_rng(SEED)
    weights = net.tensor(
        "weights", (6, 4, 5, 4), scale=0.02, zero_point=0, data=rng.integers(-127, 128, (6, 4, 5, 4)).astype(np.int8)
    )
    size = net.constant(np.array([1, 8, 6, 6], np.int32))
    options = {"Padding": 0, "StrideH": 2, "StrideW": 2, "FusedActivationFunction": 0}
    return net.operator(
        "TRANSPOSE_CONV", [size, weights, x], (1, 8, 6, 6), options_table="TransposeConvOptions", options=options,
        scale=1.5, zero_point=-4, name="larger",
    )  # fmt: skip


TFLITE: dict[str, tuple[Callable[[TfliteBuilder], Made], set[str]]] = {
    "concat": (_concat, set()),
    "slice": (_slices, set()),
    "blocks": (_blocks, {"depth to space"}),
    "pad": (_pads, {"pad"}),
    "resize": (_sizes, {"resize", "nearest"}),
    "functions": (_functions, {"hard swish", "leaky ReLU", "tanh", "logistic"}),
    "slopes": (_slopes, {"leaky ReLU"}),
    "views": (_views, {"transpose"}),
    "transposed": (_transposed, {"interleave"}),
}
"""Networks, and the kinds of their layers that run on the host."""


def _kinds(graph: Graph, *, engine: bool) -> set[str]:
    return {
        getattr(layer, "kind", type(layer).__name__.lower())
        for layer in graph.layers
        if runs_on_engine(graph, layer) == engine
    }


@pytest.mark.parametrize("name", TFLITE)
def test_int8_networks_are_literts_within_one_step(name):
    make, on_host = TFLITE[name]
    net = TfliteBuilder()
    data = net.finish(make(net))
    graph, litert = parse_tflite(data, name), LiteRt(data)
    assert isinstance(graph, Graph)
    assert _kinds(graph, engine=False) == on_host
    rng, comparison = np.random.default_rng(SEED), Comparison()
    for _ in range(5):
        x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
        tensors = litert.run(graph, x)
        if name == "transposed":  # a layer of LiteRT's is two of ours
            whole = golden.run(graph, x, keep=True)
            assert np.abs(whole["larger"].astype(int) - tensors["larger"]).max() <= 1
            continue
        comparison.layers(graph, tensors)
    print(comparison)
    assert max(comparison.largest.values(), default=0) <= 1


@pytest.mark.parametrize("name", TFLITE)
def test_parts_give_what_golden_gives(name, tmp_path):
    net = TfliteBuilder()
    graph = parse_tflite(net.finish(TFLITE[name][0](net)), name)
    assert isinstance(graph, Graph)
    _run_everywhere(graph, tmp_path)


def _run_everywhere(graph: Graph, tmp_path) -> None:
    """On the reference device: as loaded, as compiled to a file and loaded again, from Pumice's own file."""
    x = np.random.default_rng(SEED).integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    expected = golden.run(graph, x, keep=True)
    again = parse_native(graph_bytes(graph))
    with open_device("reference", config=TINY) as device:
        compiled = Model(graph).compile(TINY)
        if isinstance(compiled, Pipeline):
            compiled.save(tmp_path / "net.pumice")
            compiled = Pipeline.from_bytes((tmp_path / "net.pumice").read_bytes())
        for network in (device.load(compiled), device.load(Model(again))):
            result = network.run(x)
            assert list(result.outputs_raw) == list(graph.outputs)
            for name, shape in graph.outputs.items():
                np.testing.assert_array_equal(result.outputs_raw[name], expected[name].reshape(shape), err_msg=name)
            host = {layer.name for layer in result.layers if layer.where == "host"}
            assert host == {layer.name for layer in graph.layers if not runs_on_engine(graph, layer)}


def test_parts_take_turns_and_carry_skips():
    net = TfliteBuilder()
    x = _conv(net, net.input((1, 4, 4, 3), scale=0.05), 4, "first")
    gate = net.operator("LOGISTIC", [x], x.shape, scale=1 / 256, zero_point=-128, name="gate")
    y = net.add(x, gate, scale=0.5, name="sum")
    graph = parse_tflite(net.finish(y, gate), "net")
    parts = split(graph)
    assert [part.on_engine for part in parts] == [True, False, True]
    assert [[layer.name for layer in part.graph.layers] for part in parts] == [["first"], ["gate"], ["sum"]]
    assert (parts[2].graph.input, parts[2].graph.further_inputs) == ("first", ("gate",))
    assert list(graph.outputs) == ["sum", "gate"]


def test_several_outputs_by_name(tmp_path):
    net = TfliteBuilder()
    x = _conv(net, net.input((1, 6, 6, 3), scale=0.05), 4, "trunk")
    a, b = _conv(net, x, 2, "a"), _conv(net, x, 5, "b")
    flat = net.reshape(b, (1, 180), name="flat")
    graph = parse_tflite(net.finish(a, flat, x), "net")
    assert graph.outputs == {"a": (1, 6, 6, 2), "flat": (1, 180), "trunk": (1, 6, 6, 4)}
    assert isinstance(graph, Graph)
    _run_everywhere(graph, tmp_path)


RNG = np.random.default_rng(SEED)


def _filters(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))


def _node(net: OnnxBuilder, x: str, n: int, n_in: int, **attributes) -> str:
    return net.node("Relu", net.node("Conv", x, _filters(n, n_in, 3, 3), pads=[1, 1, 1, 1], **attributes))


def _plain(net: OnnxBuilder) -> str:
    return net.node("Conv", "x", _filters(4, 3, 1, 1))


def _resize(net: OnnxBuilder, x: str, scale: int, **attributes) -> str:
    return net.node("Resize", x, np.array([], np.float32), np.array([1, 1, scale, scale], np.float32), **attributes)


def _onnx_split(net: OnnxBuilder) -> str:
    x = _node(net, "x", 6, 3)
    net.nodes.append(helper.make_node("Split", [x], ["s0", "s1"], axis=1, num_outputs=2))
    return net.node("Concat", "s1", net.node("MaxPool", "s0", kernel_shape=[3, 3], pads=[1] * 4), "s0", axis=1)


ONNX: dict[str, Callable[[OnnxBuilder], str]] = {
    "concat": lambda net: net.node(
        "Concat", _node(net, "x", 4, 3), net.node("Pad", "x", np.array([0, 1, 0, 0] * 2)), axis=1
    ),
    "split": _onnx_split,
    "slice": lambda net: net.node(
        "Slice", _node(net, "x", 4, 3), np.array([1, 0]), np.array([8, 99]), np.array([2, 3]), np.array([2, 3])
    ),
    "pad between": lambda net: net.node(
        "MaxPool", net.node("Pad", _node(net, "x", 4, 3), np.array([0, 0, 1, 1] * 2)), kernel_shape=[2, 2]
    ),
    "mirror": lambda net: _node(net, net.node("Pad", "x", np.array([0, 0, 1, 2] * 2), mode="reflect"), 4, 3),
    "counted padding": lambda net: net.node(
        "AveragePool", _node(net, "x", 4, 3), kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1
    ),
    "depth to space": lambda net: net.node("DepthToSpace", _node(net, "x", 8, 3), blocksize=2),
    "columns": lambda net: net.node("DepthToSpace", _node(net, "x", 8, 3), blocksize=2, mode="CRD"),
    "space to depth": lambda net: _node(net, net.node("SpaceToDepth", _node(net, "x", 2, 3), blocksize=2), 3, 8),
    "nearest": lambda net: _resize(
        net, _node(net, "x", 2, 3), 2, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    ),
    "linear": lambda net: _resize(net, _node(net, "x", 2, 3), 2, mode="linear"),
    "corners": lambda net: _resize(
        net, _node(net, "x", 2, 3), 3, mode="linear", coordinate_transformation_mode="align_corners"
    ),
    "transposed": lambda net: net.node(
        "ConvTranspose", _node(net, "x", 4, 3), _filters(4, 3, 3, 2), RNG.normal(size=3), strides=[2, 3],
        pads=[1, 0, 0, 1], output_padding=[1, 1],
    ),
    "functions": lambda net: net.node(
        "Sigmoid",
        net.node("PRelu", net.node("Tanh", net.node("LeakyRelu", _plain(net), alpha=0.2)), RNG.normal(size=(4, 1, 1))),
    ),
    "hard": lambda net: net.node("HardSwish", net.node("HardSigmoid", net.node("Elu", _plain(net)))),
    "same lower": lambda net: net.node(
        "Conv", _node(net, "x", 4, 3), _filters(3, 4, 2, 4), auto_pad="SAME_LOWER", strides=[1, 3]
    ),
    "global": lambda net: net.node("GlobalMaxPool", _node(net, "x", 4, 3)),
    "softmax": lambda net: net.node("Conv", net.node("Softmax", _node(net, "x", 4, 3), axis=1), _filters(2, 4, 1, 1)),
    "transpose": lambda net: net.node(
        "Conv", net.node("Transpose", _node(net, "x", 4, 3), perm=[0, 2, 1, 3]), _filters(2, 8, 1, 1)
    ),
    "grouped": lambda net: net.node("Conv", _node(net, "x", 4, 3, dilations=[2, 2]), _filters(6, 2, 3, 3), group=2),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX)
def test_float_networks_are_onnxs_and_run_as_int8(name, tmp_path):
    net = OnnxBuilder(1, 3, 8, 8)
    data = net.finish(ONNX[name](net))
    graph = parse_onnx(data, name)
    x = np.random.default_rng(SEED).normal(size=(4, 3, 8, 8)).astype(np.float32)
    expected = [evaluate(data, sample[None]) for sample in x]
    made = run_batch(graph, x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(made.transpose(0, 3, 1, 2), np.concatenate(expected), atol=1e-5)
    integer = quantise(graph, x.transpose(0, 2, 3, 1))
    close = golden.dequantise(
        integer.tensors[integer.output],
        golden.run_batch(integer, golden.quantise(integer.tensors[integer.input], x.transpose(0, 2, 3, 1))),
    )
    assert np.corrcoef(close.ravel(), made.ravel())[0, 1] > 0.99
    _run_everywhere(integer, tmp_path)


def test_one_dimension(tmp_path):
    net = OnnxBuilder(1, 2, 30)
    x = net.node("Relu", net.node("Conv", "x", _filters(4, 2, 5), strides=[2], pads=[2, 2]))
    x = net.node("ConvTranspose", x, _filters(4, 3, 4), strides=[2], pads=[1, 1])
    x = net.node("MaxPool", x, kernel_shape=[2], strides=[2])
    data = net.finish(x)
    graph = parse_onnx(data, "net")
    x = np.random.default_rng(SEED).normal(size=(1, 2, 30)).astype(np.float32)
    expected = evaluate(data, x)
    assert (graph.input_shape, graph.output_shape) == ((1, 30, 2), (1, 15, 3))
    made = run_batch(graph, x.transpose(0, 2, 1)[:, None])
    np.testing.assert_allclose(made[:, 0].transpose(0, 2, 1), expected, atol=1e-5)
    _run_everywhere(quantise(graph, x.transpose(0, 2, 1)[:, None]), tmp_path)


def test_transposed_groups_are_two_side_by_side():
    weights = _filters(4, 3, 3, 3)
    options = {"strides": [2, 2], "dilations": [2, 1]}
    apart = np.zeros((4, 6, 3, 3))
    apart[:2, :3], apart[2:, 3:] = weights[:2], weights[2:]
    made = []
    for values, groups in ((weights, 2), (apart, 1)):
        net = OnnxBuilder(1, 4, 5, 5)
        graph = parse_onnx(net.finish(net.node("ConvTranspose", "x", values, group=groups, **options)), "net")
        made.append(run_batch(graph, np.random.default_rng(SEED).normal(size=(2, 5, 5, 4))))
    np.testing.assert_allclose(*made, atol=1e-5)


def test_onnx_outputs_by_name():
    net = OnnxBuilder(1, 3, 8, 8)
    a = _node(net, "x", 4, 3)
    data = net.finish(net.node("Flatten", net.node("GlobalAveragePool", a)), net.node("Sigmoid", a))
    graph = parse_onnx(data, "net")
    assert [graph.output, *graph.further_outputs] == ["flatten3", "sigmoid4"]


def test_float_file_keeps_moves_and_outputs():
    net = OnnxBuilder(1, 3, 8, 8)
    x = net.node("LeakyRelu", _resize(net, _node(net, "x", 4, 3), 2, mode="linear"), alpha=0.2)
    graph = parse_onnx(net.finish(net.node("DepthToSpace", x, blocksize=2), x), "net")
    again = parse_float_native(float_graph_bytes(graph))
    assert (again.output, again.further_outputs) == (graph.output, graph.further_outputs)
    x = np.random.default_rng(SEED).normal(size=(1, 8, 8, 3)).astype(np.float32)
    for name, values in run_all(graph, x).items():
        np.testing.assert_allclose(run_all(again, x)[name], values, atol=1e-5)
