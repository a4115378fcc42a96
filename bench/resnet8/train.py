"""Trains a sparse int8 ResNet-8 from scratch on CIFAR-10: ``python -m bench.resnet8.train``.

In runs: each starts from the network of the one before, at a high learning rate again and with zeros elsewhere.
Needs the extra ``train`` and the images in ``../shared/data/cifar10``. Writes a checkpoint after every epoch and goes
on from it when it is started again.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]  extra `train`
from pumice.floating import FloatGraph, run_batch
from pumice.frontends.native import save_graph
from pumice.quantise import assemble_stated
from pumice.training.loop import Trainer, TrainingConfig
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import network
from .budget import FIRST, SECOND
from .data import SIZE, Augmented, load_test, load_training, to_real
from .measure import measure

ROOT = Path(__file__).parents[2]
N_CALIBRATION = 512
SMALL_SIZE = 24
SMALL_EPOCHS = range(7, 24), range(1, 13), range(0)  # of each run on cut-outs, at little more than half the time
RUNS = (
    TrainingConfig(epochs=42, quantised_epochs=0, prune_from=3, prune_to=22, freeze_from=32, sparsity=FIRST, seed=1),
    TrainingConfig(
        epochs=22, quantised_epochs=1, prune_from=0, prune_to=0, freeze_from=15, sparsity=SECOND, learning_rate=0.1,
        warmup=1.0, weight_decay=2e-4, seed=2,
    ),
    TrainingConfig(
        epochs=28, quantised_epochs=2, prune_from=0, prune_to=0, freeze_from=18, sparsity=SECOND, learning_rate=0.08,
        warmup=1.0, weight_decay=2e-4, seed=3,
    ),
)  # fmt: skip


PROVENANCE = """# ResNet-8, sparse
`{file}`: MLPerf Tiny's image classification network with int8 weights of which {density:.2%} are not zero.
Made by `python -m bench.resnet8.train`, which writes this page too.

| | |
|---|---|
| trained from | random weights, seed {seed}; no other network had a part in it |
| on | the first 40,000 training images of CIFAR-10 (Krizhevsky, 2009), flipped and shifted at random |
| for | {epochs} epochs in {n_runs} runs, the last {n_quantised} with int8 rounding |
| of which | {n_small} on cut-outs of {small} x {small} |
| pruned | by magnitude while training: `bench/resnet8/budget.py` |
| accuracy | {accuracy:.1%} of the first {test_images} test images (golden model, int8) |
| cycles | {predicted_cycles:,} as the compiler predicts for `{config_name}` |
| input | int8, pixel - 128 |
"""


def accuracy(graph: FloatGraph, samples: np.ndarray, labels: np.ndarray) -> float:
    """Share of the samples whose largest output is their label, in floating point."""
    return float(np.mean(run_batch(graph, samples)[:, 0, 0].argmax(1) == labels))


def run(
    trainer: Trainer, data: Augmented, checkpoint: Path, images: np.ndarray, labels: np.ndarray,
    small: range = range(0), convert: Callable[[np.ndarray], np.ndarray] = to_real,
) -> None:  # fmt: skip
    """Train to the end, from ``checkpoint`` where there is one.

    Accuracy on ``images`` is shown, never used. The epochs ``small`` are on cut-outs.
    """
    if checkpoint.exists():
        trainer.restore(checkpoint)
        print(f"goes on from {checkpoint} after epoch {trainer.epoch}", flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        total = trainer.config.epochs + trainer.config.quantised_epochs
        task = progress.add_task("training", total=total * len(data), completed=trainer.epoch * len(data))
        while not trainer.done:
            start = time.monotonic()
            data.size = SMALL_SIZE if trainer.epoch in small else SIZE
            loss = trainer.train_epoch(data, lambda _: progress.advance(task))
            trainer.save(checkpoint)
            right = accuracy(trainer.result(), convert(images), labels)
            progress.console.print(
                f"epoch {trainer.epoch}/{total}: loss {loss:.4f}, {right:.1%} of {len(labels)} "
                f"test images, {time.monotonic() - start:.0f} s"
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "models" / "resnet8" / "resnet8.pumq")
    parser.add_argument("--checkpoints", type=Path, default=ROOT / "bench" / "resnet8" / "checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.checkpoints.mkdir(parents=True, exist_ok=True)
    images, labels = load_training()
    tests = load_test()
    calibration = to_real(images[:N_CALIBRATION])
    data = Augmented(images, labels, RUNS[0].batch)
    result = network.build(RUNS[0].seed)
    for i, (config, small) in enumerate(zip(RUNS, SMALL_EPOCHS, strict=True), 1):
        start = replace(result, quantisations={})
        trainer = Trainer(start, config, calibration, batch_norm=True, trained=i > 1)
        run(trainer, data, arguments.checkpoints / f"run{i}.npz", *tests, small=small)
        result = trainer.result()
    graph = assemble_stated(result)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    save_graph(graph, arguments.output)
    text = PROVENANCE.format(
        file=arguments.output.name, seed=RUNS[0].seed, n_runs=len(RUNS), small=SMALL_SIZE,
        epochs=sum(config.epochs + config.quantised_epochs for config in RUNS), n_quantised=RUNS[-1].quantised_epochs,
        n_small=sum(map(len, SMALL_EPOCHS)), **measure(graph, "Z7020"),
    )  # fmt: skip
    arguments.output.with_name("README.md").write_text(text)


if __name__ == "__main__":
    main()
