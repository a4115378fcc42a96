"""``pumice finetune``: trains a pruned float network further, its zeros kept, and makes it int8."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError
from ..floating import FloatGraph
from ..frontends import load_model
from ..frontends.native import save_graph
from ..inputs import NPY_ERRORS, convert_samples
from ..pruning.network import prunable
from ..pruning.patterns import SPELLINGS
from ..quantise import assemble_stated
from .models import ModelFile
from .prune import load_shares

N_CALIBRATION = 512
PRUNED_FROM, PRUNED_TO, FROZEN_FROM = 0.0, 0.5, 0.7  # of the epochs in floating point


class Batches:
    """Labelled samples in random order, ``batch`` at a time."""

    def __init__(self, x: np.ndarray, labels: np.ndarray, batch: int):
        self.x, self.labels, self.batch = x, labels, min(batch, len(x))

    def __len__(self) -> int:
        return len(self.x) // self.batch

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One pass; samples that do not fill a batch are left out of it."""
        for chosen in rng.permutation(len(self.x))[: len(self) * self.batch].reshape(len(self), -1):
            yield self.x[chosen], self.labels[chosen]


def finetune(
    model: ModelFile,
    data: Annotated[Path, typer.Option(help="Training data: .npz of x (floating point, real units) and y (classes).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The int8 network to write (.pumq).")],
    epochs: Annotated[int, typer.Option(help="Passes over the data in floating point.")] = 10,
    quantised_epochs: Annotated[int, typer.Option(help="Passes after these, with int8 rounding.")] = 2,
    per_layer: Annotated[
        Path | None, typer.Option(help="JSON: share to drop by layer name, grown over the first half of the epochs.")
    ] = None,
    pattern: Annotated[str, typer.Option(help=f"With --per-layer, what goes together: {SPELLINGS}.")] = "unstructured",
    learning_rate: Annotated[float, typer.Option(help="Largest of the passes in floating point.")] = 0.01,
    batch: Annotated[int, typer.Option(help="Samples a step.")] = 128,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Written after each epoch (.npz); gone on from where it exists.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of the samples.")] = 1,
) -> None:
    """Train a float network further on labelled samples and make it int8; weights that are zero stay zero."""
    try:
        from ..training.loop import Trainer, TrainingConfig
    except ImportError as error:
        raise InputError("training needs torch: pip install pumice[train]") from error
    graph = load_model(model)
    if not isinstance(graph, FloatGraph):
        raise InputError(f"{model} is int8 already: training starts from a float network")
    x, labels = load_labelled(data, graph)
    first, last, frozen = (round(part * epochs) for part in (PRUNED_FROM, PRUNED_TO, FROZEN_FROM))
    config = TrainingConfig(
        epochs=epochs, quantised_epochs=quantised_epochs, prune_from=first, prune_to=last, freeze_from=frozen,
        sparsity={} if per_layer is None else load_shares(per_layer), pattern=pattern, batch=batch,
        learning_rate=learning_rate, quantised_learning_rate=learning_rate / 10, warmup=min(0.5, epochs / 4), seed=seed,
    )  # fmt: skip
    trainer, batches = Trainer(graph, config, x[:N_CALIBRATION]), Batches(x, labels, batch)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
    total = epochs + quantised_epochs
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("training", total=total * len(batches), completed=trainer.epoch * len(batches))
        while not trainer.done:
            loss = trainer.train_epoch(batches, lambda _: progress.advance(task))
            if checkpoint is not None:
                trainer.save(checkpoint)
            console.print(f"epoch {trainer.epoch} of {total}: loss {loss:.4f}")
    integer = assemble_stated(trainer.result())
    save_graph(integer, output)
    weights = [layer.weights for layer in prunable(integer).values()]
    n_weights, n_nonzeros = sum(map(np.size, weights)), sum(map(np.count_nonzero, weights))
    console.print(f"{output}: {n_nonzeros:,} of {n_weights:,} weights are not zero; int8", highlight=False)


def load_labelled(path: Path, graph: FloatGraph) -> tuple[np.ndarray, np.ndarray]:
    """Samples as `pumice.inputs.convert_samples` gives them, and their classes, int64.

    Raises
    ------
    InputError
        The file cannot be read, lacks ``x`` or ``y``, or they do not fit the network or each other.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x, labels = arrays["x"], arrays["y"]
    except (*NPY_ERRORS, OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no .npz file with arrays x and y: {error}") from error
    samples = convert_samples(x, graph)
    n_classes = graph.shapes[graph.output][2]
    if labels.shape != (len(samples),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path}: y must be {len(samples)} integers, not {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(f"{path}: y must be classes from 0 to {n_classes - 1}, not {labels.min()} to {labels.max()}")
    return samples, labels.astype(np.int64)
