"""Float TensorFlow Lite, sparse encoding, ``.npz`` networks, and Pumice's own file."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pumice import floating, golden
from pumice.errors import ModelError, PumiceError, UnsupportedModelError
from pumice.floating import FloatGraph
from pumice.frontends import load_graph, load_model
from pumice.frontends.keras_npz import load_keras_npz, read_arrays
from pumice.frontends.native import graph_bytes, parse_native, save_graph
from pumice.frontends.tflite import parse_tflite
from pumice.frontends.tflite_file import read_tflite
from pumice.frontends.tflite_sparse import densify

from .build_tflite import TfliteBuilder
from .nets import NETS

SEED = 7
N_MUTATIONS = 200
RNG = np.random.default_rng(SEED)
MLPERF = ("ic/pretrainedResnet_float32.tflite", "ad/ad01_fp32.tflite")


def _mutate(parse, data: bytes) -> int:
    """How many of the changed or cut files were refused; nothing but Pumice's own errors may come out."""
    rng, n_refused = np.random.default_rng(SEED), 0
    print(f"seed {SEED}")
    for _ in range(N_MUTATIONS):
        forged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            forged[place] = rng.integers(0, 256)
        try:
            parse(bytes(forged[: rng.integers(0, len(data))] if rng.random() < 0.1 else forged))
        except PumiceError:
            n_refused += 1
    return n_refused


@pytest.mark.parametrize("file", MLPERF)
def test_float_network_is_litert_s(shared_data, file):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the extra litert")
    path = shared_data / "mlperf_tiny" / file
    graph, reference = load_model(path), interpreter.Interpreter(str(path))
    assert isinstance(graph, FloatGraph)
    reference.allocate_tensors()
    x = np.random.default_rng(SEED).uniform(0, 1, (1, *graph.shapes[graph.input])).astype(np.float32)
    reference.set_tensor(reference.get_input_details()[0]["index"], x.reshape(graph.input_shape))
    reference.invoke()
    expected = reference.get_tensor(reference.get_output_details()[0]["index"])
    found = floating.run_batch(graph, x).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def float_network(net: TfliteBuilder, x):
    """Operators with constants, moves, resizes, a transposed convolution."""

    def made(operator, inputs, shape, table="", **options):
        return net.operator(operator, inputs, shape, options_table=table, options=options, dtype="FLOAT32")

    def ints(*values):
        return net.constant(np.array(values, np.int32))

    def reals(*shape):
        return net.constant(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))

    plain, half = {"FusedActivationFunction": 0}, {"AlignCorners": False, "HalfPixelCenters": True}
    sliding = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 2, "DilationWFactor": 1}
    x = made("MUL", [x, reals(3)], (1, 6, 4, 3), "MulOptions", **plain)
    x = made("CONV_2D", [x, reals(8, 3, 2, 3), reals(8)], (1, 6, 4, 8), "Conv2DOptions", **sliding)
    x = made("SUB", [x, reals(1, 1, 1, 8)], (1, 6, 4, 8), "SubOptions", FusedActivationFunction=1)
    x = made(
        "DEPTHWISE_CONV_2D",
        [x, reals(1, 3, 3, 8), reals(8)],
        (1, 6, 4, 8),
        "DepthwiseConv2DOptions",
        **sliding,
        DepthMultiplier=1,
    )
    x = made("ADD", [x, reals(8)], (1, 6, 4, 8), "AddOptions", **plain)
    x = made("ELU", [x], (1, 6, 4, 8))
    x = made("DEPTH_TO_SPACE", [x], (1, 12, 8, 2), "DepthToSpaceOptions", BlockSize=2)
    x = made("PRELU", [x, reals(1, 1, 2)], (1, 12, 8, 2))
    x = made("PADV2", [x, ints((0, 0), (0, 1), (2, 0), (0, 0)), net.constant(np.zeros((), np.float32))], (1, 13, 10, 2))
    x = made("RESIZE_BILINEAR", [x, ints(9, 20)], (1, 9, 20, 2), "ResizeBilinearOptions", **half)
    x = made("RESIZE_NEAREST_NEIGHBOR", [x, ints(18, 10)], (1, 18, 10, 2), "ResizeNearestNeighborOptions", **half)
    a = made("TRANSPOSE_CONV", [ints(1, 36, 20, 3), reals(3, 3, 3, 2), x], (1, 36, 20, 3), "TransposeConvOptions",
             Padding=0, StrideH=2, StrideW=2, **plain)  # fmt: skip
    b = made("RESIZE_BILINEAR", [x, ints(36, 20)], (1, 36, 20, 2), "ResizeBilinearOptions", AlignCorners=False)
    x = made("CONCATENATION", [a, b], (1, 36, 20, 5), "ConcatenationOptions", Axis=3, **plain)
    x = made("SLICE", [x, ints(0, 3, 0, 1), ints(1, 30, 20, 4)], (1, 30, 20, 4))
    x = made("TANH", [made("LEAKY_RELU", [x], (1, 30, 20, 4), "LeakyReluOptions", Alpha=0.3)], (1, 30, 20, 4))
    return made("HARD_SWISH", [x], (1, 30, 20, 4))


def test_float_operators_are_literts():
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the extra litert")
    net = TfliteBuilder()
    data = net.finish(float_network(net, net.input((1, 6, 4, 3), dtype="FLOAT32")))
    graph, reference = parse_tflite(data, "net"), interpreter.Interpreter(model_content=data)
    assert isinstance(graph, FloatGraph)
    reference.allocate_tensors()
    x = np.random.default_rng(SEED).normal(size=(1, 6, 4, 3)).astype(np.float32)
    reference.set_tensor(reference.get_input_details()[0]["index"], x)
    reference.invoke()
    expected = reference.get_tensor(reference.get_output_details()[0]["index"])
    assert expected.std() > 0.1
    np.testing.assert_allclose(floating.run_batch(graph, x).reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def test_float16_weights_and_activations_of_their_own():
    net, weights = TfliteBuilder(), RNG.normal(size=(4, 1, 1, 3)).astype(np.float16)
    x = net.input((1, 5, 6, 3), dtype="FLOAT32")
    constant = net.operator("DEQUANTIZE", [net.constant(weights)], weights.shape, dtype="FLOAT32")
    options = {"Padding": 1, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    made = net.operator(
        "CONV_2D", [x, constant], (1, 5, 6, 4), options_table="Conv2DOptions", options=options, dtype="FLOAT32"
    )
    graph = parse_tflite(net.finish(net.operator("RELU6", [made], (1, 5, 6, 4), dtype="FLOAT32")), "net")
    assert isinstance(graph, FloatGraph)
    (layer,) = graph.layers
    np.testing.assert_array_equal(layer.weights, weights)
    assert (layer.low, layer.high) == (0.0, 6.0)


def _sparsity(order, block_map, *levels) -> SimpleNamespace:
    """Stands for the schema's table; a level is a dense size, or (segments, indices)."""

    def level(entry):
        if isinstance(entry, int):
            return SimpleNamespace(Format=lambda: 0, DenseSize=lambda: entry)
        segments, indices = (_Vector(values) for values in entry)
        kinds = {"ArraySegmentsType": lambda: 1, "ArrayIndicesType": lambda: 1}
        return SimpleNamespace(
            Format=lambda: 1, ArraySegments=lambda: segments, ArrayIndices=lambda: indices, **kinds
        )  # fmt: skip

    return SimpleNamespace(
        TraversalOrderAsNumpy=lambda: np.array(order),
        BlockMapAsNumpy=lambda: np.array(block_map, int),
        DimMetadataLength=lambda: len(levels),
        DimMetadata=lambda i: level(levels[i]),
    )


class _Vector:
    """Bytes of a schema's Int32Vector: a table whose first field is the vector."""

    def __init__(self, values):
        import flatbuffers
        import tflite

        builder = flatbuffers.Builder(64)
        vector = builder.CreateNumpyVector(np.array(values, np.int32))
        tflite.Int32VectorStart(builder)
        tflite.Int32VectorAddValues(builder, vector)
        builder.Finish(tflite.Int32VectorEnd(builder))
        self.Bytes = builder.Output()
        self.Pos = int.from_bytes(self.Bytes[:4], "little")


def test_sparse_rows():
    sparsity = _sparsity([0, 1], [], 3, ([0, 2, 2, 3], [0, 3, 1]))
    dense = densify("w", sparsity, np.float32([1, 2, 3]), (3, 4))
    np.testing.assert_array_equal(dense, [[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]])


def test_sparse_blocks():
    """Blocks of 2 x 2 in 4 x 4: the example of the schema's comment on SparsityParameters."""
    sparsity = _sparsity([0, 1, 2, 3], [0, 1], 2, ([0, 2, 3], [0, 1, 1]), 2, 2)
    dense = densify("w", sparsity, np.arange(1, 13), (4, 4))
    np.testing.assert_array_equal(dense, [[1, 2, 5, 6], [3, 4, 7, 8], [0, 0, 9, 10], [0, 0, 11, 12]])


def test_sparse_blocks_column_by_column():
    """Blocks of 2 x 3 in 4 x 6, each walked down its columns."""
    sparsity = _sparsity([0, 1, 3, 2], [0, 1], 2, ([0, 1, 2], [0, 1]), 3, 2)
    dense = densify("w", sparsity, np.arange(1, 13), (4, 6))
    expected = [[1, 3, 5, 0, 0, 0], [2, 4, 6, 0, 0, 0], [0, 0, 0, 7, 9, 11], [0, 0, 0, 8, 10, 12]]
    np.testing.assert_array_equal(dense, expected)


@pytest.mark.parametrize(
    "sparsity",
    [
        _sparsity([0, 0], [], 3, ([0, 1, 1, 1], [0])),
        _sparsity([0, 1], [], 3, ([0, 1, 1], [0])),
        _sparsity([0, 1], [], 3, ([0, 1, 1, 1], [9])),
        _sparsity([0, 1], [], 3, ([0, 2, 1, 1], [0])),
        _sparsity([0, 1], [], 1 << 30, 4),
        _sparsity([0, 1, 2], [5], 3, 4, 1),
    ],
)
def test_impossible_sparsity(sparsity):
    with pytest.raises(ModelError, match="tensor w"):
        densify("w", sparsity, np.float32([1]), (3, 4))


def test_real_sparse_file_is_64_percent_zeros(shared_data):
    file = read_tflite((shared_data / "mediapipe_face" / "face_detection_full_range_sparse.tflite").read_bytes())
    weights = [t.data for t in file.tensors if t.dtype == "FLOAT16" and t.data is not None and t.data.ndim == 4]
    zeros = sum(np.count_nonzero(w == 0) for w in weights) / sum(w.size for w in weights)
    assert round(zeros, 3) == 0.648


def _write_mlp(folder, activation="relu", **changes) -> dict[str, np.ndarray]:
    arrays = {
        "0_weight_in_x_out": RNG.normal(size=(6, 4)).astype(np.float32),
        "0_bias": RNG.normal(size=4).astype(np.float32),
        "1_weight_in_x_out": RNG.normal(size=(4, 3)),
    } | changes
    np.savez(folder / "mlp_pruned_weights.npz", **{key: values for key, values in arrays.items() if values is not None})
    dense = [
        {"name": "a", "units": 4, "use_bias": True, "activation": activation, "batch_input_shape": [None, 6]},
        {"name": "b", "units": 3, "use_bias": False, "activation": "softmax"},
    ]
    layers = [{"class_name": "Dense", "config": config} for config in dense]
    layers.insert(1, {"class_name": "Dropout", "config": {"name": "drop"}})
    (folder / "mlp_model.json").write_text(json.dumps({"config": layers}))
    return arrays


def test_npz_network(tmp_path):
    arrays = _write_mlp(tmp_path)
    graph = load_keras_npz(tmp_path / "mlp_pruned_weights.npz")
    x = RNG.normal(size=(5, 6)).astype(np.float32)
    hidden = np.maximum(x @ arrays["0_weight_in_x_out"] + arrays["0_bias"], 0)
    exponentials = np.exp(hidden @ arrays["1_weight_in_x_out"])
    expected = exponentials / exponentials.sum(1, keepdims=True)
    found = floating.run_batch(graph, x.reshape(5, 1, 1, 6)).reshape(5, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0_bias": None}, "array 0_bias must have shape .4,., and is missing"),
        ({"0_bias": np.zeros(5)}, r"0_bias must have shape \(4,\), and is \(5,\)"),
        ({"0_bias": np.array([{}, 1, 2, 3])}, "floating point is expected"),
        ({"activation": "tanh"}, "layer a: Dense has activation tanh"),
    ],
)
def test_npz_refused(tmp_path, changes, message):
    _write_mlp(tmp_path, **changes)
    with pytest.raises(ModelError, match=message):
        load_keras_npz(tmp_path / "mlp_pruned_weights.npz")


def test_npz_without_its_json(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(1))
    with pytest.raises(ModelError, match="no JSON"):
        load_model(tmp_path / "w.npz")


def test_mutated_npz(tmp_path):
    _write_mlp(tmp_path)
    assert _mutate(read_arrays, (tmp_path / "mlp_pruned_weights.npz").read_bytes()) > N_MUTATIONS // 20


@pytest.mark.parametrize("name", NETS)
def test_own_file_keeps_everything(name, tmp_path):
    graph = parse_tflite(NETS[name](), name)
    save_graph(graph, tmp_path / "net.pumq")
    loaded = load_graph(tmp_path / "net.pumq")
    x = RNG.integers(-128, 128, (3, *graph.tensors[graph.input].shape)).astype(np.int8)
    np.testing.assert_array_equal(golden.run_batch(loaded, x), golden.run_batch(graph, x))
    assert loaded.tensors == graph.tensors
    for layer, expected in zip(loaded.layers, graph.layers, strict=True):
        assert getattr(layer, "single_rounding", None) == getattr(expected, "single_rounding", None)
    assert (loaded.input_shape, loaded.output_shape) == (graph.input_shape, graph.output_shape)


def test_mutated_own_file(monkeypatch):
    """With a checksum that fits, so that the reader's own checks are met."""
    data = graph_bytes(parse_tflite(NETS["classifier"](), "net"))
    assert _mutate(parse_native, data) > N_MUTATIONS * 0.9  # a change that writes what was there is no damage
    monkeypatch.setattr("zlib.crc32", lambda _: int.from_bytes(data[12:16], "little"))
    assert _mutate(parse_native, data) > N_MUTATIONS // 20


def test_a_float_model_must_be_quantised_first(tmp_path):
    _write_mlp(tmp_path)
    with pytest.raises(UnsupportedModelError, match="quantise it first, pumice quantize"):
        load_graph(tmp_path / "mlp_pruned_weights.npz")
