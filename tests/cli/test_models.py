"""``pumice check`` and ``pumice quantize``."""

import json
import sys

import numpy as np
import pytest
from pumice import golden
from pumice.cli import main
from pumice.network import load

from ..frontends.build_tflite import TfliteBuilder
from ..frontends.nets import NETS


@pytest.fixture
def pumice(monkeypatch, capsys):
    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pumice", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(out.split()), err

    return call


@pytest.fixture
def mlp(tmp_path):
    """A float network and samples for it."""
    rng = np.random.default_rng(1)
    weights = (rng.normal(size=(6, 4)) * (rng.random((6, 4)) < 0.5)).astype(np.float32)
    np.savez(tmp_path / "mlp.npz", **{"0_weight_in_x_out": weights})
    config = {"name": "d", "units": 4, "use_bias": False, "activation": "softmax", "batch_input_shape": [None, 6]}
    (tmp_path / "mlp.json").write_text(json.dumps({"config": [{"class_name": "Dense", "config": config}]}))
    np.save(tmp_path / "x.npy", rng.normal(size=(20, 6)).astype(np.float32))
    return tmp_path / "mlp.npz"


def test_check_lists_layers_and_where_they_run(pumice, tmp_path):
    (tmp_path / "net.tflite").write_bytes(NETS["classifier"]())
    status, out, _ = pumice("check", tmp_path / "net.tflite", "--config", "TINY")
    assert status == 0
    assert "depthwise depthwise 4x4x12" in out
    assert "probabilities softmax 1x1x5 host" in out
    assert "fits TINY" in out


def test_check_says_what_cannot_run_and_what_to_do(pumice, tmp_path):
    net = TfliteBuilder()
    x = net.average_pool(net.input((1, 4, 4, 2), scale=0.1), (2, 2), name="mean")
    data = net.finish(net.operator("MUL", [x], x.shape, options_table="MulOptions", like=x, name="gate"))
    (tmp_path / "net.tflite").write_bytes(data)
    status, out, _ = pumice("check", tmp_path / "net.tflite")
    assert status == 1
    assert "mean AVERAGE_POOL_2D engine" in out
    assert "gate MUL nowhere is not supported; fold a constant into" in out
    assert "1 of 2 operators cannot run" in out


def test_check_counts_weights_near_zero_as_zeros(pumice, tmp_path):
    net = TfliteBuilder()
    x = net.input((1, 4), dtype="FLOAT32")
    weights = net.constant(np.array([[1, 1e-30, -1e-9, 2], [1e-20, 1e-20, 1e-20, 1e-20]], np.float32))
    options = {"options_table": "FullyConnectedOptions", "dtype": "FLOAT32", "name": "few"}
    (tmp_path / "net.tflite").write_bytes(net.finish(net.operator("FULLY_CONNECTED", [x, weights], (1, 2), **options)))
    status, out, _ = pumice("check", tmp_path / "net.tflite", "--config", "TINY")
    assert (status, "few dense 1x1x2 2 (25%) engine" in out) == (0, True)


def test_quantize_then_run(pumice, mlp, tmp_path):
    status, out, _ = pumice("check", mlp, "--config", "TINY")
    command = f"before it runs: pumice quantize {mlp} --calibration samples.npy -o mlp.pumq"
    assert (status, command in out) == (0, True)
    assert pumice("quantize", mlp, "--calibration", tmp_path / "x.npy", "-o", tmp_path / "mlp.pumq")[0] == 0
    run = ("run", tmp_path / "mlp.pumq", "--input", tmp_path / "x.npy", "--device", "reference", "--config", "TINY")
    assert pumice(*run, "--json", tmp_path / "out.json")[0] == 0
    shared = pumice("quantize", mlp, "--calibration", tmp_path / "x.npy", "--codebook", 3, "-o", tmp_path / "c.pumq")
    assert shared[0] == 0
    weights = load(tmp_path / "c.pumq").graph.layers[0].weights
    assert len(np.unique(weights[weights != 0])) == 2
    graph = load(tmp_path / "mlp.pumq").graph
    expected = golden.run(
        graph, golden.quantise(graph.tensors["input"], np.load(tmp_path / "x.npy")[:1, None, None])[0]
    )
    assert json.loads((tmp_path / "out.json").read_text())["output_raw"] == expected.reshape(1, 4).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--calibration", "missing.npy"), "cannot be read"),
        (("--calibration", "x.npy", "--method", "best"), "no calibration method 'best'"),
        (("--calibration", "wrong.npy"), "does not fit"),
    ],
)
def test_mistakes_are_one_sentence(pumice, mlp, tmp_path, monkeypatch, arguments, message):
    np.save(tmp_path / "wrong.npy", np.zeros((2, 7), np.float32))
    monkeypatch.chdir(tmp_path)
    status, _, err = pumice("quantize", mlp, *arguments, "-o", "out.pumq")
    assert (status, err.count("\n")) == (2, 1)
    assert message in err
