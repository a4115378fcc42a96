"""Modelled energy of networks, sparse and dense: ``python -m bench.energy [--config Z7020] [--device sim]``.

Activity is counted on the simulated board, one sample a network. *Dense* is the same network with every weight kept on
the same engine (format `dense`). All energies are modelled with the `45nm` set, published figures of the operations
alone: they compare networks and are no forecast of a board. IC and KWS at 25 % have each layer but the first pruned at
random; what they answer means nothing, what they cost does. `energy_accuracy.svg`: digits with ever more of its
smallest weights dropped, without training; accuracy of the golden model on the 359 held-out digits.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from pumice import golden, open_device
from pumice.cli.digits import load_split
from pumice.device import Device
from pumice.energy import EnergyReport, estimate, load_coefficients
from pumice.energy.model import BATCH_SIZES
from pumice.frontends import load_graph
from pumice.graph import Conv, Graph
from pumice.network import Model
from pumice.report.energy_plot import plot_accuracy
from pumice.spec.config import CONFIGS
from rich.progress import track

from .networks import NETWORKS, sample
from .random_density import SEED, prune_at_random
from .record import record, tool_versions

TABLE = Path(__file__).with_name("energy.md")
PLOT = TABLE.with_name("energy_accuracy.svg")
KEPT = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)  # of the weights that digits has, smallest dropped first, layer by layer
RUNS = (("digits", None), ("vww", None), ("ic", None), ("ic", 0.25), ("kws", None), ("kws", 0.25), ("ad", None))
COEFFICIENTS = "45nm"


def report(device: Device, graph: Graph, x: np.ndarray, formats: str | None = None) -> EnergyReport:
    """Modelled energy of one inference."""
    told = []
    network = device.load(Model(graph), formats=formats)
    with device.observe(lambda *run: told.append(run)):
        network.run(x)
    return estimate(told, device.config, load_coefficients(COEFFICIENTS), backend=device.kind)


def without_smallest(graph: Graph, kept: float) -> Graph:
    """The graph with a share of each layer's non-zero weights, the largest ones."""
    layers = []
    for layer in graph.layers:
        if isinstance(layer, Conv):
            sizes = np.abs(layer.weights.astype(int))
            layer = replace(layer, weights=layer.weights * (sizes >= np.quantile(sizes[sizes > 0], 1 - kept)))
        layers.append(layer)
    return replace(graph, layers=layers)


def accuracy_curve(device: Device) -> list[tuple[EnergyReport, float]]:
    """Energy of an inference and accuracy of digits for each of `KEPT`."""
    graph, split = load_graph(NETWORKS["digits"]), load_split()
    points = []
    for kept in KEPT:
        pruned = without_smallest(graph, kept)
        inputs = golden.quantise(graph.tensors[graph.input], split.test_images)
        classes = golden.run_batch(pruned, inputs).reshape(len(inputs), -1).argmax(axis=1)
        points.append((report(device, pruned, inputs[0]), float(np.mean(classes == split.test_labels))))
    return points


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument("--device", choices=("sim", "reference"), default="sim")
    arguments = parser.parse_args()
    common = {
        "kind": "modelled", "config": arguments.config, "tools": tool_versions("amaranth", "verilator"),
        "command": f"python -m bench.energy --config {arguments.config} --device {arguments.device}",
    }  # fmt: skip
    lines = [
        "# Modelled energy", "", *__doc__.split("\n\n", 1)[1].strip().splitlines(), "",
        f"{arguments.config}, activity of device {arguments.device}; microjoules an inference, modelled:",
        f"`{common['command']}`.", "",
        "| network | sparse | dense | dense : sparse | MACs and their idle lanes | DRAM | "
        + " | ".join(f"batch {n}" for n in BATCH_SIZES if n in (1, 8, 64)) + " |",
        "|---" * 9 + "|",
    ]  # fmt: skip
    with open_device(arguments.device, config=arguments.config) as device:
        for name, density in track(RUNS, description="networks"):
            if not NETWORKS[name].exists():
                print(f"{name}: skipped, {NETWORKS[name].name} is not here")
                continue
            graph = load_graph(NETWORKS[name])
            x = sample(NETWORKS[name], graph)
            if density:
                graph = prune_at_random(graph, density, np.random.default_rng(SEED))
            title = f"{name} at {density:.0%}" if density else f"{name} as shipped"
            sparse, dense = (report(device, graph, x, formats) for formats in (None, "dense"))
            ratio = dense.total.joules / sparse.total.joules
            parts = sparse.total.components
            figures = [
                sparse.total.joules, dense.total.joules, parts["MACs"] + parts["idle MACs"], parts["DRAM"],
                *(sparse.batch(n) for n in (1, 8, 64)),
            ]  # fmt: skip
            cells = [f"{joules * 1e6:.3g}" for joules in figures]
            cells.insert(2, f"{ratio:.2f}")
            lines.append(f"| {title} | {' | '.join(cells)} |")
            common["workload"] = f"{title}, int8, one sample, activity {device.kind}, coefficients {COEFFICIENTS}"
            prefix = title.replace(" ", "_")
            record(f"{prefix}.energy", round(sparse.total.joules * 1e6, 3), "uJ", better="lower", **common)
            record(f"{prefix}.energy_dense_to_sparse", round(ratio, 3), "ratio", better="higher", **common)
            print(f"{title}: {sparse.total.joules * 1e6:.4g} uJ, dense {ratio:.2f} times as much (modelled)")
        points = accuracy_curve(device)
    reports, accuracies = zip(*points, strict=True)
    lines += [
        "", "## Accuracy", "", "| digits, weights kept | accuracy | sparse | a correct answer |", "|---" * 4 + "|",
        *(
            f"| {kept:.0%} | {accuracy:.1%} | {1e6 * joules:.3g} | {1e6 * joules / accuracy:.3g} |"
            for kept, accuracy, joules in zip(KEPT, accuracies, (each.total.joules for each in reports), strict=True)
        ),
    ]  # fmt: skip
    plot_accuracy({"digits, fewer and fewer weights": points}, PLOT)
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
