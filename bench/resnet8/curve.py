"""Latency against accuracy of ResNet-8, by pattern and sparsity: ``python -m bench.resnet8.curve``.

Trains a dense network once, then for each point prunes that (by sensitivity, second order) and trains it further for a
few epochs with its zeros kept, int8 at the end. A line of ``curve.jsonl`` a point: accuracy of the golden model, cycles
as the compiler predicts them. Points that are there are skipped; each training goes on from its checkpoint.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from pumice.floating import FloatGraph
from pumice.frontends import load_model
from pumice.frontends.native_float import save_float_graph
from pumice.pruning import parse_pattern
from pumice.pruning.prune import prune, sensitive_sparsities
from pumice.quantise import assemble_stated
from pumice.spec.config import CONFIGS
from pumice.training.loop import Trainer, TrainingConfig

from . import network
from .data import Augmented, load_test, load_training, to_real
from .train import N_CALIBRATION, SMALL_EPOCHS, measure, run

FOLDER = Path(__file__).parent
POINTS = [("unstructured", 0.0)] + [
    point
    for sparsity, n_m in ((0.5, "2:4"), (0.75, "1:4"), (0.9, "1:10"))
    for point in (("unstructured", sparsity), (n_m, sparsity), ("block:1x16", sparsity), ("channel", sparsity))
]
DENSE = TrainingConfig(epochs=42, quantised_epochs=0, prune_from=0, prune_to=0, freeze_from=0, seed=1)


def fine_tuning(epochs: int) -> TrainingConfig:
    """For a point: all but the last epoch in floating point."""
    return TrainingConfig(
        epochs=epochs - 1, quantised_epochs=1, prune_from=0, prune_to=0, freeze_from=0, learning_rate=0.02, warmup=0.2
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6, help="for each point")
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoints", type=Path, default=FOLDER / "checkpoints")
    parser.add_argument("--output", type=Path, default=FOLDER / "curve.jsonl")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.checkpoints.mkdir(parents=True, exist_ok=True)
    images, labels = load_training()
    data = Augmented(images, labels, DENSE.batch)
    calibration = to_real(images[:N_CALIBRATION])
    dense = _dense(arguments.checkpoints, data, calibration)
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    done = {(entry["pattern"], entry["sparsity"], entry["epochs"]) for entry in map(json.loads, lines)}
    for pattern, sparsity in POINTS:
        if (pattern, sparsity, arguments.epochs) in done:
            continue
        shares = sensitive_sparsities(dense, sparsity, parse_pattern(pattern), samples=calibration)
        pruned = prune(dense, shares, parse_pattern(pattern), samples=calibration)
        assert isinstance(pruned, FloatGraph)
        trainer = Trainer(pruned, fine_tuning(arguments.epochs), calibration)
        name = f"{pattern}-{sparsity:g}-{arguments.epochs}".replace(":", "_")
        run(trainer, data, arguments.checkpoints / f"{name}.npz", *load_test())
        entry = {"pattern": pattern, "sparsity": sparsity, "epochs": arguments.epochs}
        entry |= measure(assemble_stated(trainer.result()), arguments.config)
        with arguments.output.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(entry, flush=True)


def _dense(folder: Path, data: Augmented, calibration: np.ndarray) -> FloatGraph:
    path = folder / "dense.pumf"
    if not path.exists():
        trainer = Trainer(network.build(DENSE.seed), DENSE, calibration, batch_norm=True)
        run(trainer, data, folder / "dense.npz", *load_test(), small=SMALL_EPOCHS[0])
        save_float_graph(trainer.result(), path)
    graph = load_model(path)
    assert isinstance(graph, FloatGraph)
    return graph


if __name__ == "__main__":
    main()
