"""Modelled energy of networks, sparse and dense: ``python -m bench.energy [--config Z7020] [--device sim]``.

Activity is counted on the simulated board, one sample a network. *Dense* is the same network on the same engine
without any use of its zeros: every weight is fetched and multiplied, dead channels are computed. All energies are
modelled with the `45nm` set, published figures of the operations alone, without clock tree, leakage and wires: they
compare networks and are no forecast of a board. IC and KWS at 25 % have each layer but the first pruned at random;
what they answer means nothing, what they cost does. A batch loads the weights once. `energy_accuracy.svg`: digits
with ever more of its smallest weights dropped, without training; accuracy of the golden model on the 359 held-out
digits.
"""

import argparse
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from pumice import golden, open_device
from pumice.cli.digits import load_split
from pumice.device import Device
from pumice.energy import EnergyReport, estimate, load_coefficients
from pumice.energy.model import BATCH_SIZES, COMPONENTS
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
UNPRICED = "static, clock"
"""The component that `COEFFICIENTS` has no number for."""


def report(device: Device, graph: Graph, x: np.ndarray, *, dense: bool = False) -> EnergyReport:
    """Modelled energy of one inference."""
    told = []
    network = device.load(Model(graph), dense=dense)
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


def accuracy_curves(device: Device) -> dict[str, list[tuple[EnergyReport, float]]]:
    """Energy of an inference of digits and accuracy, by what was done: run dense, weights dropped down to `KEPT`."""
    graph, split = load_graph(NETWORKS["digits"]), load_split()
    inputs = golden.quantise(graph.tensors[graph.input], split.test_images)
    points = []
    for kept in KEPT:
        pruned = without_smallest(graph, kept)
        classes = golden.run_batch(pruned, inputs).reshape(len(inputs), -1).argmax(axis=1)
        points.append((report(device, pruned, inputs[0]), float(np.mean(classes == split.test_labels))))
    dense = report(device, graph, inputs[0], dense=True), points[0][1]
    return {"digits, dense run": [dense], "digits, its smallest weights dropped": points}


def microjoules(*joules: float) -> str:
    """Cells of a table."""
    return " | ".join(f"{1e6 * each:.3g}" for each in joules)


def table(*heads: str) -> list[str]:
    """Head of a table."""
    return ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]


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
    reports: dict[str, tuple[EnergyReport, EnergyReport]] = {}
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
            sparse, dense = reports[title] = report(device, graph, x), report(device, graph, x, dense=True)
            ratio = dense.total.joules / sparse.total.joules
            common["workload"] = f"{title}, int8, one sample, activity {device.kind}, coefficients {COEFFICIENTS}"
            prefix = title.replace(" ", "_")
            record(f"{prefix}.energy", round(sparse.total.joules * 1e6, 3), "uJ", better="lower", **common)
            record(f"{prefix}.energy_dense_to_sparse", round(ratio, 3), "ratio", better="higher", **common)
            print(f"{title}: {sparse.total.joules * 1e6:.4g} uJ, dense {ratio:.2f} times as much (modelled)")
        curves = accuracy_curves(device)
        kind = device.kind
    rows = [
        (f"{title}{run}", each)
        for title, both in reports.items()
        for run, each in zip(("", ", dense"), both, strict=True)
    ]
    lines = [
        "# Modelled energy", "", *(__doc__ or "").split("\n\n", 1)[1].strip().splitlines(), "",
        f"{arguments.config}, coefficients {COEFFICIENTS}, activity {kind}: `{common['command']}`.",
        "Microjoules an inference, **modelled**.",
        *table("network", "sparse", "dense", "dense : sparse"),
        *(
            f"| {title} | {microjoules(sparse.total.joules, dense.total.joules)} | "
            f"{dense.total.joules / sparse.total.joules:.2f} |"
            for title, (sparse, dense) in reports.items()
        ),
        "", "By component, sparse and below it dense:",
        *table("network", *(name for name in COMPONENTS if name != UNPRICED)),
        *(
            f"| {title} | {microjoules(*(j for name, j in each.total.components.items() if name != UNPRICED))} |"
            for title, each in rows
        ),
        "", "By batch size, weights loaded once a batch:",
        *table("network", *map(str, BATCH_SIZES)),
        *(f"| {title} | {microjoules(*map(each.batch, BATCH_SIZES))} |" for title, each in rows),
        "", "## Accuracy", "", f"![Accuracy over modelled energy of an inference]({PLOT.name})",
        *table("digits, of its weights kept", "accuracy", "an inference", "a correct answer"),
        *(
            f"| {kept} | {accuracy:.1%} | {microjoules(each.total.joules, each.total.joules / accuracy)} |"
            for kept, (each, accuracy) in zip(
                ("100%, dense run", *(f"{kept:.0%}" for kept in KEPT)), chain(*curves.values()), strict=True
            )
        ),
    ]  # fmt: skip
    plot_accuracy(curves, PLOT)
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
