"""Latency against accuracy of ResNet-8, by pattern and sparsity: ``python -m bench.resnet8.curve``.

Each point prunes the float network without training (second order, sparsity by sensitivity), trains it further with its
zeros kept where ``--epochs`` asks for that, and quantises it: accuracy of the golden model on the first 500 test images
of CIFAR-10, cycles as the compiler predicts them. A line of ``curve.jsonl`` a point; points that are there are skipped,
and training goes on from its checkpoint. Networks are kept too, so that ``--again`` measures all of them anew, after a
change of the compiler for example, without pruning. ``curve.md`` and ``curve.svg`` are made of the lines.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from pumice.floating import FloatGraph
from pumice.frontends import load_graph, load_model
from pumice.frontends.native import save_graph
from pumice.pruning import Pattern, parse_pattern
from pumice.pruning.network import prunable
from pumice.pruning.prune import prune, sensitivities, shares_of
from pumice.quantise import assemble_stated, quantise
from pumice.spec.config import CONFIGS

from .data import FOLDER as IMAGES
from .data import load_training
from .measure import measure

FOLDER = Path(__file__).parent
NETWORK = IMAGES.parent / "mlperf_tiny" / "ic" / "pretrainedResnet_float32.tflite"
N_CALIBRATION, N_RANGES = 512, 128  # images to prune with, and to find the ranges of activations
DENSE = ("unstructured", 0.0)
POINTS = [
    (n_m if pattern == "n:m" else pattern, sparsity)
    for sparsity, n_m in ((0.5, "2:4"), (0.75, "1:4"), (0.9, "1:10"))
    for pattern in ("unstructured", "n:m", "block:1x16", "channel")
]
FAMILIES = {"unstructured": "unstructured", "block:1x16": "block 1x16", "channel": "channel"}  # others: N:M
COLOURS = {"unstructured": "#1b6ca8", "N:M": "#d1495b", "block 1x16": "#3a7d44", "channel": "#7a5195"}
HEAD = """# ResNet-8: what zeros cost and gain

`python -m bench.resnet8.curve --epochs {epochs}`: MLPerf Tiny's float network pruned {how}; int8,
accuracy of the golden model on the first 500 test images of CIFAR-10 (standard error about 1.6 points). Cycles are
*predicted* by the compiler for `{config_name}` and its {clock:g} MHz, not simulated.

![curve](curve.svg)

| pattern | sparsity | non-zero | accuracy | cycles | latency | speed-up |
|---|---|---|---|---|---|---|
"""


def pixels(images: np.ndarray) -> np.ndarray:
    """What the network computes on: float32, 0 .. 255."""
    return images.astype(np.float32)


def train_further(pruned: FloatGraph, epochs: int, checkpoint: Path, threads: int) -> FloatGraph:
    """All but the last epoch in floating point; zeros stay."""
    import torch  # pyright: ignore[reportMissingImports]  extra `train`
    from pumice.training.loop import Trainer, TrainingConfig

    from .data import Augmented, load_test
    from .train import run

    torch.set_num_threads(threads)
    config = TrainingConfig(
        epochs=epochs - 1, quantised_epochs=1, prune_from=0, prune_to=0, freeze_from=0, learning_rate=0.02,
        warmup=min(0.2, (epochs - 1) / 2),
    )  # fmt: skip
    images, labels = load_training()
    trainer = Trainer(pruned, config, pixels(images[:N_CALIBRATION]), batch_norm=True, trained=True)
    run(trainer, Augmented(images, labels, config.batch, convert=pixels), checkpoint, *load_test(), convert=pixels)
    return trainer.result()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, default=NETWORK, help="float, of pixels from 0 to 255")
    parser.add_argument("--epochs", type=int, default=0, help="of further training, for each point")
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure all points anew")
    parser.add_argument(
        "--checkpoints", type=Path, default=FOLDER / "checkpoints", help="of training, sensitivities, and networks"
    )
    parser.add_argument("--output", type=Path, default=FOLDER / "curve.jsonl")
    arguments = parser.parse_args()
    network = load_model(arguments.network)
    if not isinstance(network, FloatGraph):
        parser.error(f"{arguments.network} is no float network")
    calibration = pixels(load_training(n_sheets=1)[0][:N_CALIBRATION])

    def errors(pattern: Pattern) -> dict[str, dict[float, float]]:
        kept = arguments.checkpoints / f"{pattern}.json".replace(":", "_")
        if not kept.exists():
            found = sensitivities(network, pattern, samples=calibration)
            kept.write_text(json.dumps({name: list(shares.items()) for name, shares in found.items()}))
        return {name: dict(shares) for name, shares in json.loads(kept.read_text()).items()}

    def point(pattern: Pattern, sparsity: float, name: str) -> FloatGraph:
        if not sparsity:
            return network
        if pattern.fixed_sparsity is not None:
            shares = dict.fromkeys(prunable(network), sparsity)
        else:
            shares = shares_of(network, errors(pattern), sparsity, pattern)
        pruned = prune(network, shares, pattern, samples=calibration)
        assert isinstance(pruned, FloatGraph)
        if not arguments.epochs:
            return pruned
        return train_further(pruned, arguments.epochs, arguments.checkpoints / f"{name}.npz", arguments.threads)

    arguments.checkpoints.mkdir(parents=True, exist_ok=True)
    if arguments.again:
        arguments.output.unlink(missing_ok=True)
    done = {(entry["pattern"], entry["sparsity"]) for entry in entries(arguments.output, arguments.epochs)}
    for pattern, sparsity in [DENSE, *POINTS]:
        if (pattern, sparsity) in done:
            continue
        name = f"{pattern}-{sparsity:g}-{arguments.epochs}".replace(":", "_")
        made = arguments.checkpoints / f"{name}.pumq"
        if not made.exists():
            graph = point(parse_pattern(pattern), sparsity, name)
            stated = bool(graph.quantisations)  # after training they are
            save_graph(
                assemble_stated(graph) if stated else quantise(graph, calibration[:N_RANGES], method="mse"), made
            )
        entry = {"pattern": pattern, "sparsity": sparsity, "epochs": arguments.epochs}
        entry |= measure(load_graph(made), arguments.config, pixels)
        with arguments.output.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(entry, flush=True)
    found = entries(arguments.output, arguments.epochs)
    arguments.output.with_suffix(".md").write_text(table(found))
    plot(found, arguments.output.with_suffix(".svg"))


def entries(path: Path, epochs: int) -> list[dict]:
    """The lines of ``curve.jsonl`` that were made with so much training."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [entry for entry in map(json.loads, lines) if entry["epochs"] == epochs or not entry["sparsity"]]


def table(found: list[dict]) -> str:
    """The page: what was done, a row for each point."""
    epochs, name = max(entry["epochs"] for entry in found), found[0]["config_name"]
    how = f"and trained further for {epochs} epochs" if epochs else "in one shot, without any training"
    clock, dense = CONFIGS[name].clock_mhz, found[0]["predicted_cycles"]
    rows = []
    for entry in found:
        pattern, cycles = entry["pattern"] if entry["sparsity"] else "dense", entry["predicted_cycles"]
        rows.append(
            f"| {pattern} | {entry['sparsity']:.0%} | {entry['density']:.1%} | {entry['accuracy']:.1%} | {cycles:,} "
            f"| {cycles / clock:,.0f} us | {dense / cycles:.2f}x |"
        )
    return HEAD.format(epochs=epochs, how=how, config_name=name, clock=clock) + "\n".join(rows) + "\n"


def plot(found: list[dict], path: Path) -> None:
    """Accuracy over latency, a line for each family of patterns, all from the dense network on."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "curve"
    from matplotlib import pyplot as plt

    clock = CONFIGS[found[0]["config_name"]].clock_mhz
    figure, axes = plt.subplots(figsize=(7, 4.2))
    dense = [entry for entry in found if not entry["sparsity"]]
    for family, colour in COLOURS.items():
        points = dense + [e for e in found if e["sparsity"] and FAMILIES.get(e["pattern"], "N:M") == family]
        x, y = [e["predicted_cycles"] / clock for e in points], [100 * e["accuracy"] for e in points]
        axes.plot(x, y, "o-", color=colour, label=family, markersize=5)
        for entry, at_x, at_y in zip(points[1:], x[1:], y[1:], strict=True):
            axes.annotate(
                f"{entry['sparsity']:.0%}", (at_x, at_y), textcoords="offset points", xytext=(5, -10), fontsize=7,
                color=colour,
            )  # fmt: skip
    axes.annotate("dense", (dense[0]["predicted_cycles"] / clock, 100 * dense[0]["accuracy"]), xytext=(-8, -14),
                  textcoords="offset points", fontsize=8)  # fmt: skip
    axes.set_xlabel(f"predicted latency on {found[0]['config_name']} at {clock:g} MHz, us")
    axes.set_ylabel("accuracy on 500 test images, %")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
