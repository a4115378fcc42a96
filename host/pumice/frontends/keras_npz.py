"""Fully connected networks as plain ``.npz`` arrays with Keras's JSON of the architecture beside them.

The arrays are ``<i>_weight_in_x_out`` and ``<i>_bias`` for the ``i``-th Dense layer, from 0. The JSON is the file
of the same folder whose name, less ``_model``, is the longest beginning of the ``.npz`` file's.
"""

import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LayerCheck, ModelError, UnsupportedModelError
from ..floating import FloatGraph
from ..inputs import NPY_ERRORS
from .build import FloatBuilder

MAX_ARRAY_BYTES = 1 << 30
DROPPED = ("InputLayer", "Dropout", "Flatten", "Activation")
ACTIVATIONS = {"linear": {}, "softmax": {}, "relu": {"low": 0.0}}
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError)


def load_keras_npz(path: Path) -> FloatGraph:
    """Read the two files.

    Raises
    ------
    ModelError
        A file is missing, cannot be read, or malformed, or the two do not fit.
    UnsupportedModelError
        The network is no chain of Dense layers; the message names every layer that cannot run.
    """
    description = _description(path)
    try:
        arrays = read_arrays(path.read_bytes())
        return _network(path.stem, json.loads(description.read_bytes()), arrays)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{path.stem}: {error}", error.layers) from error
    except ModelError as error:
        raise ModelError(f"{path.stem}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{description}: malformed: {error!r}") from error


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Arrays of the bytes of an ``.npz`` file, nothing being unpickled. ModelError: damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name.removesuffix(".npy"): _array(archive, name) for name in archive.namelist()}
    except (*ZIP_ERRORS, *NPY_ERRORS) as error:
        raise ModelError(f"the .npz file is damaged: {error}") from error


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    n_bytes = archive.getinfo(name).file_size
    if n_bytes > MAX_ARRAY_BYTES:
        raise ModelError(f"array {name} takes {n_bytes} bytes, more than {MAX_ARRAY_BYTES}")
    with archive.open(name) as file:
        content = io.BytesIO(file.read(n_bytes))
    version = np.lib.format.read_magic(content)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(content)
    values = content.read()
    if dtype.kind != "f" or len(values) != math.prod(shape) * dtype.itemsize:
        raise ModelError(f"array {name}: {dtype} {shape} in {len(values)} bytes; floating point is expected")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if is_fortran else "C")


def _description(path: Path) -> Path:
    found = [file for file in path.parent.glob("*.json") if path.stem.startswith(file.stem.removesuffix("_model"))]
    if not found:
        raise ModelError(
            f"{path}: no JSON of its architecture beside it; expected {path.stem}.json or a beginning of it"
        )
    return max(found, key=lambda file: len(file.stem.removesuffix("_model")))


def _network(name: str, model: dict, arrays: dict[str, np.ndarray]) -> FloatGraph:
    config = model["config"]
    layers = [
        (layer["class_name"], layer["config"]) for layer in (config if isinstance(config, list) else config["layers"])
    ]
    _check_layers(layers)
    builder = FloatBuilder(name)
    x = source = builder.input("input", (1, 1, int(layers[0][1]["batch_input_shape"][-1])))
    n_dense = 0
    for kind, options in layers:
        label, activation = options["name"], options.get("activation", "linear")
        if kind == "Dense":
            weights = _named(arrays, f"{n_dense}_weight_in_x_out", builder.shapes[x][2], options["units"])
            bias = _named(arrays, f"{n_dense}_bias", options["units"]) if options["use_bias"] else None
            x = builder.dense(label, x, weights.T[:, None, None, :], bias, **ACTIVATIONS[activation])
            n_dense += 1
        elif kind == "Activation" and activation == "relu":
            x = builder.affine(label, x, low=0.0)
        if kind in ("Dense", "Activation") and activation == "softmax":
            x = builder.softmax(f"{label}/softmax", x)
    shape = builder.shapes
    return builder.finish(source, {x: (1, shape[x][2])}, (1, shape[source][2]), "npz")


def _check_layers(layers: list[tuple[str, dict]]) -> None:
    checks = []
    for kind, options in layers:
        problem = None
        if kind not in ("Dense", *DROPPED):
            problem = "is not supported in an .npz network: save it as .onnx or .tflite"
        elif options.get("activation", "linear") not in ACTIVATIONS:
            problem = f"has activation {options['activation']}; use {', '.join(ACTIVATIONS)}"
        checks.append(LayerCheck(options["name"], kind, problem))
    problems = [f"layer {check.name}: {check.operator} {check.problem}" for check in checks if check.problem]
    if problems:
        raise UnsupportedModelError("; ".join(problems), checks)


def _named(arrays: dict[str, np.ndarray], key: str, *shape: Any) -> np.ndarray:
    if key not in arrays or arrays[key].shape != shape:
        found = arrays[key].shape if key in arrays else "missing"
        raise ModelError(f"array {key} must have shape {shape}, and is {found}; there are {', '.join(arrays)}")
    return arrays[key]
