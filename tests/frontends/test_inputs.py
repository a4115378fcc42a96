"""Samples from files: shapes, dtypes, lengths."""

import numpy as np
import pytest
from pumice.errors import InputError
from pumice.frontends import load_graph
from pumice.frontends.tflite import parse_tflite
from pumice.inputs import convert_input, load_input

from .build_tflite import TfliteBuilder
from .nets import NETS

SEED = 9
SHAPE = (8, 7, 3)


@pytest.fixture(scope="module")
def graph():
    return parse_tflite(NETS["classifier"](), "classifier")


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(SEED).integers(-128, 128, (3, *SHAPE)).astype(np.int8)


def image_graph(scale: float, zero_point: int = -128):
    net = TfliteBuilder()
    x = net.input((1, 4, 4, 1), scale=scale, zero_point=zero_point)
    return parse_tflite(net.finish(net.max_pool(x, (2, 2))), "image")


@pytest.mark.parametrize("suffix", [".dat", ".bin"])
@pytest.mark.parametrize("n", [1, 3])
def test_raw_bytes(graph, samples, tmp_path, suffix, n):
    path = tmp_path / f"samples{suffix}"
    path.write_bytes(samples[:n].tobytes())
    np.testing.assert_array_equal(load_input(path, graph), samples[:n])


@pytest.mark.parametrize("shape", [SHAPE, (1, *SHAPE), (3, *SHAPE), (3, 1, *SHAPE)])
def test_npy(graph, samples, tmp_path, shape):
    n = 1 if len(shape) == 3 else shape[0]
    np.save(tmp_path / "x.npy", samples[:n].reshape(shape))
    if shape == (3, 1, *SHAPE):
        with pytest.raises(InputError, match="does not fit"):
            load_input(tmp_path / "x.npy", graph)
    else:
        np.testing.assert_array_equal(load_input(tmp_path / "x.npy", graph), samples[:n])


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_floats_are_quantised(graph, samples, tmp_path, dtype):
    tensor = graph.tensors[graph.input]
    real = tensor.scale * (samples.astype(np.float64) - tensor.zero_point)
    np.save(tmp_path / "x.npy", real.astype(dtype))
    np.testing.assert_array_equal(load_input(tmp_path / "x.npy", graph), samples)


@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_image_bytes_lose_128(scale):
    graph = image_graph(scale)
    x = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 17
    np.testing.assert_array_equal(convert_input(x, graph)[0], x.astype(int) - 128)


def test_reshaped_input_in_either_shape():
    net = TfliteBuilder()
    x = net.reshape(net.input((1, 16), scale=1.0), (1, 4, 4, 1))
    graph = parse_tflite(net.finish(net.max_pool(x, (2, 2))), "image")
    x = np.arange(16, dtype=np.int8)
    for shape in ((16,), (1, 16), (4, 4, 1), (1, 4, 4, 1)):
        np.testing.assert_array_equal(convert_input(x.reshape(shape), graph), x.reshape(1, 4, 4, 1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 7, 4), np.int8), r"shape \(8, 7, 4\) does not fit network classifier: expected \(1, 8, 7, 3\)"),
        (np.zeros((0, *SHAPE), np.int8), "no sample"),
        (np.zeros(SHAPE, np.int16), "dtype int16 is ambiguous"),
        (np.zeros(SHAPE, np.uint8), "dtype uint8 is ambiguous"),
        (np.zeros(SHAPE, bool), "dtype bool is ambiguous"),
        (np.zeros(SHAPE, complex), "dtype complex128 is ambiguous"),
        (np.full(SHAPE, np.nan), "finite"),
        (np.zeros(()), "does not fit"),
    ],
)
def test_wrong_arrays(graph, array, message):
    with pytest.raises(InputError, match=message):
        convert_input(array, graph)


def test_wrong_files(graph, samples, tmp_path):
    cases = {
        "none.npy": (None, "cannot be read"),
        "none.dat": (None, "cannot be read"),
        "short.dat": (samples.tobytes()[:-1], "503 bytes do not fit network classifier: expected 168 for a sample"),
        "empty.bin": (b"", "0 bytes do not fit"),
        "x.png": (b"\x89PNG", "unknown kind"),
        "object.npy": (None, "no valid .npy"),
        "text.npy": (b"hello", "no valid .npy"),
        "empty.npy": (b"", "no valid .npy"),
    }
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    for name, (data, message) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message) as caught:
            load_input(tmp_path / name, graph)
        assert name in str(caught.value)
    (tmp_path / "folder.dat").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_input(tmp_path / "folder.dat", graph)


@pytest.mark.filterwarnings("ignore")  # Python's, of forged headers that it reads as literals
def test_mutated_npy(graph, samples, tmp_path):
    """Any bytes give an InputError or samples."""
    np.save(tmp_path / "x.npy", samples)
    data, rng, n_refused = (tmp_path / "x.npy").read_bytes(), np.random.default_rng(SEED), 0
    for _ in range(400):
        forged = bytearray(data)
        forged[rng.integers(128)] = rng.integers(256)
        forged = forged[: rng.integers(len(forged))] if rng.random() < 0.2 else forged
        (tmp_path / "x.npy").write_bytes(forged)
        try:
            assert load_input(tmp_path / "x.npy", graph).shape[1:] == SHAPE
        except InputError:
            n_refused += 1
    assert n_refused > 100


def test_real_inputs(shared_data):
    """The autoencoder's files hold 40 samples each."""
    folder = shared_data / "mlperf_tiny" / "ad"
    graph = load_graph(folder / "ad01_int8.tflite")
    for path in sorted((folder / "inputs").iterdir()):
        assert load_input(path, graph).shape == (40, 1, 1, 640)
