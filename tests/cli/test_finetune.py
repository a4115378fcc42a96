"""``pumice finetune``; what trains needs torch (extra `train`)."""

import numpy as np
import pytest
from pumice import floating, golden
from pumice.frontends import load_graph, load_model
from pumice.frontends.native import save_graph
from pumice.frontends.native_float import save_float_graph
from pumice.inputs import convert_input
from pumice.pruning import parse_pattern
from pumice.pruning.network import prunable
from pumice.pruning.prune import prune
from pumice.quantise import quantise

from ..pruning.nets import residual, samples
from .test_models import pumice  # noqa: F401  fixture

SHARES = dict.fromkeys("acd", 0.7)


@pytest.fixture
def files(tmp_path):
    """A pruned network, and samples labelled by what it was pruned from."""
    graph, x = residual(), samples(512)
    save_float_graph(prune(graph, SHARES, parse_pattern("unstructured"), method="magnitude"), tmp_path / "net.pumf")
    np.savez(tmp_path / "data.npz", x=x, y=floating.run_batch(graph, x)[:, 0, 0].argmax(1))
    return tmp_path


def test_pruned_weights_stay_and_accuracy_returns(pumice, files):  # noqa: F811
    pytest.importorskip("torch", reason="torch is not installed: pip install pumice[train]")
    checkpoint = ("--checkpoint", files / "checkpoint.npz")
    common = ("finetune", files / "net.pumf", "--data", files / "data.npz", "-o", files / "out.pumq", *checkpoint)
    status, out, _ = pumice(*common, "--epochs", 12, "--learning-rate", 0.05, "--batch", 32)
    assert status == 0
    assert "epoch 14 of 14" in out
    x = samples(200, seed=8)
    labels = floating.run_batch(residual(), x)[:, 0, 0].argmax(1)

    def accuracy(graph) -> float:
        return float(np.mean(golden.run_batch(graph, convert_input(x, graph))[:, 0, 0].argmax(1) == labels))

    trained, before = load_graph(files / "out.pumq"), load_model(files / "net.pumf")
    for name, layer in prunable(before).items():
        assert not np.any(prunable(trained)[name].weights[layer.weights == 0])
    assert accuracy(trained) > accuracy(quantise(before, samples(100))) + 0.04
    again, _, _ = pumice(*common, "--epochs", 12, "--learning-rate", 0.05, "--batch", 32)  # over at once
    assert again == 0


def test_mistakes_are_one_sentence(pumice, files, monkeypatch):  # noqa: F811
    pytest.importorskip("torch", reason="torch is not installed: pip install pumice[train]")
    monkeypatch.chdir(files)
    x = samples(20)
    np.savez("short.npz", x=x, y=np.zeros(3, int))
    np.savez("classes.npz", x=x, y=np.full(20, 7))
    np.savez("pickled.npz", x=x, y=np.array([{}] * 20, object))
    save_graph(quantise(residual(), x), "int8.pumq")
    for model, data, message in (
        ("net.pumf", "missing.npz", "no .npz file"),
        ("net.pumf", "short.npz", "y must be 20 integers"),
        ("net.pumf", "classes.npz", "classes from 0 to 4"),
        ("net.pumf", "pickled.npz", "no .npz file"),
        ("int8.pumq", "data.npz", "int8 already"),
    ):
        status, _, err = pumice("finetune", model, "--data", data, "-o", "out.pumq")
        assert (status, message in err, err.count("\n")) == (2, True, 1), err
