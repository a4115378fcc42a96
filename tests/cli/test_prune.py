"""``pumice prune``."""

import json

import numpy as np
import pytest
from pumice.frontends import load_model
from pumice.frontends.native import save_graph
from pumice.frontends.native_float import save_float_graph
from pumice.pruning.network import prunable
from pumice.quantise import quantise

from ..pruning.nets import residual, samples
from .test_models import pumice  # noqa: F401  fixture


@pytest.fixture
def files(tmp_path):
    """A float network, its int8 twin, samples, sparsities."""
    save_float_graph(residual(), tmp_path / "net.pumf")
    save_graph(quantise(residual(), samples(50)), tmp_path / "net.pumq")
    np.save(tmp_path / "x.npy", samples(60))
    (tmp_path / "shares.json").write_text(json.dumps({"a": 0.75, "d": 0.25}))
    return tmp_path


def _zeros(path) -> dict[str, float]:
    return {name: float(np.mean(layer.weights == 0)) for name, layer in prunable(load_model(path)).items()}


@pytest.mark.parametrize("kind", ["pumf", "pumq"])
def test_prune_with_samples(pumice, files, kind):  # noqa: F811
    out_path = files / f"out.{kind}"
    arguments = ("--sparsity", 0.5, "--calibration", files / "x.npy", "-o", out_path)
    status, out, _ = pumice("prune", files / f"net.{kind}", *arguments)
    assert status == 0
    assert "unstructured, obs, 60 samples" in out
    layers = prunable(load_model(out_path))
    n_zeros = sum(np.sum(layer.weights == 0) for layer in layers.values())
    n_weights = sum(layer.weights.size for layer in layers.values())
    assert 0.48 <= n_zeros / n_weights <= 0.53
    assert f"{n_weights - n_zeros:,} of {n_weights:,} weights are not zero" in out
    if kind == "pumf":
        assert pumice("quantize", out_path, "--calibration", files / "x.npy", "-o", files / "q.pumq")[0] == 0


def test_prune_by_a_file_of_shares(pumice, files):  # noqa: F811
    arguments = ("--per-layer", files / "shares.json", "--pattern", "1:4", "-o", files / "out.pumf")
    assert pumice("prune", files / "net.pumf", *arguments)[0] == 0
    assert _zeros(files / "out.pumf") == {"a": 0.75, "b": 0.0, "c": 0.0, "d": 0.225}  # 3 of 10 fours


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pattern", "3:2"), "impossible pattern"),
        (("--sparsity", "2"), "sparsity must be"),
        (("--method", "obs"), "takes samples"),
        (("--calibration", "missing.npy"), "cannot be read"),
        (("--per-layer", "missing.json"), "cannot be read as JSON"),
        (("--per-layer", "x.npy"), "cannot be read as JSON"),
    ],
)
def test_mistakes_are_one_sentence(pumice, files, monkeypatch, arguments, message):  # noqa: F811
    monkeypatch.chdir(files)
    status, _, err = pumice("prune", "net.pumf", "-o", "out.pumf", *arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (files / "out.pumf").exists()
