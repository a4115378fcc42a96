"""Sparse training: the torch twin of a network against numpy, pruning while it learns, resuming, int8 at the end."""

from dataclasses import replace

import numpy as np
import pytest
from pumice import floating, golden
from pumice.errors import InputError, ModelError
from pumice.floating import FloatConv, FloatGraph
from pumice.inputs import convert_input
from pumice.quantise import assemble_stated, calibrate

from ..pruning.nets import residual, samples

torch = pytest.importorskip("torch", reason="torch is not installed: pip install pumice[train]")

from pumice.training.loop import Trainer, TrainingConfig  # noqa: E402
from pumice.training.module import GraphModule  # noqa: E402

SPARSITY = {"a": 0.75, "c": 0.5}
CONFIG = TrainingConfig(
    epochs=4, quantised_epochs=2, prune_from=1, prune_to=2, freeze_from=3, sparsity=SPARSITY, learning_rate=0.05,
    quantised_learning_rate=0.005, warmup=0.5, seed=3,
)  # fmt: skip


class Batches:
    """Samples labelled by a network of other weights, four batches a pass."""

    def __init__(self):
        self.x = samples(256)
        self.labels = floating.run_batch(residual(seed=9), self.x)[:, 0, 0].argmax(1)

    def __len__(self) -> int:
        return 4

    def __call__(self, rng):
        """A pass in random order."""
        for chosen in rng.permutation(len(self.x)).reshape(len(self), -1):
            yield self.x[chosen], self.labels[chosen]


def _forward(module: GraphModule, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module.eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


def _trainer(graph: FloatGraph | None = None, config: TrainingConfig = CONFIG, batch_norm: bool = True) -> Trainer:
    torch.manual_seed(0)
    return Trainer(graph or residual(), config, samples(64), batch_norm=batch_norm)


def _zeros(graph: FloatGraph) -> dict[str, float]:
    return {layer.name: float(np.mean(layer.weights == 0)) for layer in graph.layers if isinstance(layer, FloatConv)}


def test_the_twin_computes_what_the_graph_does():
    graph = residual(softmax=False)
    assert np.allclose(
        _forward(GraphModule(graph), samples(8)), floating.run_batch(graph, samples(8))[:, 0, 0], atol=1e-5
    )


def test_batch_normalisation_is_folded():
    trainer = _trainer(residual(softmax=False))
    trainer.train_epoch(Batches())
    expected = _forward(trainer.module, samples(8))
    assert np.allclose(floating.run_batch(trainer.result(), samples(8))[:, 0, 0], expected, atol=1e-5)


def test_batch_normalisation_changes_nothing_at_first_in_a_trained_network():
    graph = residual(softmax=False)
    trainer = Trainer(graph, CONFIG, samples(64), batch_norm=True, trained=True)
    expected = floating.run_batch(graph, samples(8, seed=3))[:, 0, 0]
    assert np.allclose(_forward(trainer.module, samples(8, seed=3)), expected, atol=1e-4)
    assert np.allclose(floating.run_batch(trainer.result(), samples(8, seed=3))[:, 0, 0], expected, atol=1e-4)
    norm = trainer.module.conv("a").norm
    assert norm is not None
    with torch.no_grad():  # in training mode too: samples have the statistics that it began with
        found = trainer.module.train()(torch.from_numpy(samples(64)).permute(0, 3, 1, 2)).numpy()
    assert np.allclose(found, floating.run_batch(graph, samples(64))[:, 0, 0], atol=1e-2)


def test_it_learns_with_the_zeros_that_were_asked_for():
    trainer, data, losses, zeros = _trainer(), Batches(), [], []
    while not trainer.done:
        losses.append(trainer.train_epoch(data))
        zeros.append(_zeros(trainer.result()))
    assert losses[-1] < 0.8 * losses[0]
    assert zeros[0]["a"] < 0.1
    for state in zeros[2:]:
        assert {name: state[name] for name in SPARSITY} == pytest.approx(SPARSITY, abs=0.01)
    assert zeros[-1]["b"] < 0.1  # 0.75 of it was never asked for


@pytest.mark.parametrize("epochs", [(0, 0, 0, 0), (1, 0, 1, 1), (2, 0, 2, 2), (2, 1, 1, 3)])
def test_the_zeros_are_complete_in_the_end_however_short_it_is(epochs):
    names = ("epochs", "prune_from", "prune_to", "freeze_from")
    config = replace(CONFIG, quantised_epochs=1, **dict(zip(names, epochs, strict=True)))
    trainer, data = _trainer(config=config), Batches()
    while not trainer.done:
        trainer.train_epoch(data)
    zeros = _zeros(trainer.result())
    assert {name: zeros[name] for name in SPARSITY} == pytest.approx(SPARSITY, abs=0.01)


def test_frozen_masks_stay():
    trainer, data = _trainer(config=replace(CONFIG, freeze_from=2)), Batches()
    for _ in range(3):
        trainer.train_epoch(data)
    mask = trainer.module.conv("a").mask.clone()
    while not trainer.done:
        trainer.train_epoch(data)
        assert torch.equal(trainer.module.conv("a").mask, mask)


def test_the_int8_network_computes_what_was_trained():
    trainer, data = _trainer(), Batches()
    while not trainer.done:
        trainer.train_epoch(data)
    graph = assemble_stated(replace(trainer.result(), output="d", layers=trainer.result().layers[:-1]))
    x = samples(100, seed=5)
    found = golden.dequantise(graph.tensors["d"], golden.run_batch(graph, convert_input(x, graph)))[:, 0, 0]
    expected = _forward(trainer.module, x)
    assert np.abs(found - expected).max() < 2.5 * graph.tensors["d"].scale


@pytest.mark.parametrize("stop_after", [2, 5])
def test_it_resumes_bit_for_bit(tmp_path, stop_after):
    data, straight = Batches(), _trainer()
    while not straight.done:
        straight.train_epoch(data)
        if straight.epoch == stop_after:
            straight.save(tmp_path / "checkpoint.npz")
    resumed = _trainer()
    resumed.restore(tmp_path / "checkpoint.npz")
    assert resumed.epoch == stop_after
    while not resumed.done:
        resumed.train_epoch(data)
    for a, b in zip(straight.result().layers, resumed.result().layers, strict=True):
        if isinstance(a, FloatConv):
            assert np.array_equal(a.weights, b.weights)
    assert straight.result().quantisations == resumed.result().quantisations


def test_foreign_and_damaged_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    _trainer().save(path)
    with pytest.raises(ModelError, match="another training configuration"):
        _trainer(config=replace(CONFIG, seed=4)).restore(path)
    with pytest.raises(ModelError, match="another network"):
        _trainer(batch_norm=False).restore(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        _trainer().restore(path)


def test_quantised_weights_round_as_int8_does():
    graph = residual(softmax=False)
    twin = GraphModule(graph, quantisations=calibrate(graph, samples(64)))
    plain = _forward(GraphModule(graph), samples(32))
    assert 0 < np.abs(_forward(twin, samples(32)) - plain).mean() < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(sparsity={"zzz": 0.5}), "no layer zzz"),
        (dict(sparsity={"a": 2.0}), "sparsity of a"),
        (dict(prune_to=0), "in this order"),
        (dict(pattern="rows"), "pattern"),
        (dict(epochs=-1), "at least 0"),
    ],
)
def test_mistakes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        _trainer(config=replace(CONFIG, **change))
