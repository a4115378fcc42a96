"""Damaged files of every format: an exception of Pumice's own or a valid network, within 2 GiB and 20 s each."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pumice.errors import ModelError
from pumice.frontends import load_model
from pumice.frontends.native import save_graph
from pumice.frontends.native_float import save_float_graph
from pumice.frontends.onnx import parse_onnx
from pumice.frontends.tflite import parse_tflite

from .build_onnx import OnnxBuilder
from .build_tflite import TfliteBuilder
from .nets import classifier, residual
from .test_float_models import float_network
from .test_moves import ONNX, TFLITE

SEED = 17
ROOT = Path(__file__).parents[2]


def _write(folder: Path) -> None:
    (folder / "classifier.tflite").write_bytes(classifier())
    (folder / "residual.tflite").write_bytes(residual())
    for name, (make, _) in TFLITE.items():
        net = TfliteBuilder()
        (folder / f"{name}.tflite").write_bytes(net.finish(make(net)))
    net = TfliteBuilder()
    made = float_network(net, net.input((1, 6, 4, 3), dtype="FLOAT32"))
    (folder / "float.tflite").write_bytes(net.finish(made))
    for name, make in ONNX.items():
        net = OnnxBuilder(1, 3, 8, 8)
        (folder / f"{name}.onnx").write_bytes(net.finish(make(net)))
    for name in ("functions", "resize"):
        save_graph(parse_tflite((folder / f"{name}.tflite").read_bytes(), name), folder / f"{name}.pumq")
    for name in ("linear", "functions"):
        save_float_graph(parse_onnx((folder / f"{name}.onnx").read_bytes(), name), folder / f"{name}.pumf")
    layer = {"name": "d", "units": 3, "use_bias": True, "activation": "relu", "batch_input_shape": [None, 4]}
    (folder / "mlp.json").write_text(json.dumps({"config": {"layers": [{"class_name": "Dense", "config": layer}]}}))
    weights = {"0_weight_in_x_out": np.ones((4, 3), np.float32), "0_bias": np.ones(3, np.float32)}
    np.savez(folder / "mlp.npz", **weights)


def _fuzz(folder: Path, n: int, timeout: int) -> dict[str, int]:
    _write(folder)
    program = [sys.executable, "-m", "tests.frontends.fuzz", str(folder), str(n), str(SEED)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-2000:]
    print(f"seed {SEED}: {done.stdout}")
    return json.loads(done.stdout.splitlines()[-1])


def test_damaged_files(tmp_path):
    outcomes = _fuzz(tmp_path, 500, 300)
    assert sum(outcomes.values()) == 500
    assert min(outcomes["refused"], outcomes["valid"]) > 50


@pytest.mark.long
def test_many_damaged_files(tmp_path):
    outcomes = _fuzz(tmp_path, 20_000, 3600)
    assert sum(outcomes.values()) == 20_000


class _Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was loaded')",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".onnx", ".npz", ".tflite", ".bin"])
def test_pickles_are_never_loaded(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(pickle.dumps(_Bomb()))
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(ModelError, match=None if suffix in (".onnx", ".npz", ".tflite") else "is never loaded"):
        load_model(path)
