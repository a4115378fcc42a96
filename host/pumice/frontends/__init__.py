"""Readers of model files; each gives a `pumice.graph.Graph`."""

from pathlib import Path

from ..errors import ModelError
from ..graph import Graph
from .tflite import parse_tflite
from .tflite_file import IDENTIFIER


def load_graph(path: str | Path) -> Graph:
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
        raise ModelError(f"{path}: not a file; give the path of a .tflite file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if data[4:8] == IDENTIFIER or path.suffix.lower() == ".tflite":
        return parse_tflite(data, path.stem)
    raise ModelError(f"{path}: neither its content nor its extension is that of an int8 TensorFlow Lite file (.tflite)")
