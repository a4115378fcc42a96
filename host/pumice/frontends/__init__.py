"""Readers of model files; each gives a `pumice.graph.Graph`, or a `pumice.floating.FloatGraph` to quantise."""

from pathlib import Path

from ..errors import ModelError, UnsupportedModelError
from ..floating import FloatGraph
from ..graph import Graph
from ..quantise import assemble_stated
from .keras_npz import load_keras_npz
from .native import MAGIC, parse_native
from .native_float import MAGIC as FLOAT_MAGIC
from .native_float import parse_float_native
from .onnx import parse_onnx
from .tflite import parse_tflite
from .tflite_file import IDENTIFIER

SUFFIXES = (".tflite", ".onnx", ".npz", ".pumq", ".pumf")


PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
PICKLE_STARTS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def load_model(path: str | Path) -> Graph | FloatGraph:
    """Read a model file, whose kind its content tells, or else its extension.

    Raises
    ------
    ModelError
        There is no such file, it cannot be read, is of no known kind, or is malformed.
    UnsupportedModelError
        The model holds something that Pumice cannot run.
    """
    path = Path(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    if not path.is_file():
        raise ModelError(f"{path}: not a file; give the path of a model ({', '.join(SUFFIXES)})")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return load_keras_npz(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if data[4:8] == IDENTIFIER or suffix == ".tflite":
        return parse_tflite(data, path.stem)
    if data[:4] == MAGIC or suffix == ".pumq":
        return parse_native(data)
    if data[:4] == FLOAT_MAGIC or suffix == ".pumf":
        return parse_float_native(data)
    if suffix == ".onnx":
        graph = parse_onnx(data, path.stem)
        return assemble_stated(graph) if graph.quantisations else graph
    if suffix in PICKLES or data[:2] in PICKLE_STARTS:
        raise ModelError(
            f"{path} is a pickle, or an archive that holds one, and is never loaded, as that runs code of its maker: "
            "export it to ONNX, or give the module to pumice.frontends.torch.load_module"
        )
    raise ModelError(
        f"{path}: neither its content nor its extension is that of a model file ({', '.join(SUFFIXES)})"
    )  # fmt: skip


def load_graph(path: str | Path) -> Graph:
    """Read an int8 model file. Raises as `load_model`, and UnsupportedModelError for a float model."""
    graph = load_model(path)
    if isinstance(graph, FloatGraph):
        raise UnsupportedModelError(
            f"{graph.name} computes in floating point: quantise it first, pumice quantize {path} --calibration "
            f"samples.npy -o {graph.name}.pumq"
        )
    return graph
