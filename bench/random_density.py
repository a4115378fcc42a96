"""Networks pruned at random on the simulated board: ``python -m bench.random_density [--density 0.25]``.

Every layer with weights but the first keeps a random share of them, so that shapes stay and accuracy is of no account;
each output is checked against the golden model before anything is recorded.
"""

import argparse
from dataclasses import replace

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.sim import open_sim
from pumice.frontends import load_graph
from pumice.graph import Graph
from pumice.spec.config import CONFIGS

from .networks import NETWORKS, sample
from .record import record, tool_versions

SEED = 25


def prune_at_random(graph: Graph, density: float, rng: np.random.Generator) -> Graph:
    """The graph with ``density`` of the weights of each layer, its first one excepted."""
    layers, n_kept_whole = [], 0
    for layer in graph.layers:
        weights = getattr(layer, "weights", None)
        if weights is None or n_kept_whole == 0:
            n_kept_whole += weights is not None
            layers.append(layer)
            continue
        weights = weights.copy()
        weights.flat[rng.permutation(weights.size)[round(density * weights.size) :]] = 0
        layers.append(replace(layer, weights=weights))
    return replace(graph, layers=layers)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument("--density", type=float, default=0.25)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["ic", "kws"])
    options = parser.parse_args()
    config, density = CONFIGS[options.config], options.density
    with open_sim(config) as board:
        for name in options.networks:
            graph = load_graph(NETWORKS[name])
            x = sample(NETWORKS[name], graph)
            pruned = prune_at_random(graph, density, np.random.default_rng(SEED))
            image = compile_graph(pruned, config)
            board.load(image)
            run = board.run(image.pack_input(x))
            expected = golden.run(pruned, x, keep=True)[image.metadata["output"]["name"]]  # in front of a softmax
            if not np.array_equal(image.unpack_output(run.output), expected):
                raise SystemExit(f"{name}: the output differs from the golden model's; nothing recorded")
            predicted = image.metadata["predicted_cycles"]
            record(
                f"{name}.random_density_cycles", run.cycles, "cycles", better="lower", kind="simulated",
                config=config.name, predicted=predicted, tools=tool_versions("amaranth", "verilator"),
                workload=f"{name}, int8, each layer but the first pruned at random to {density:.0%}, seed {SEED}",
                command=f"python -m bench.random_density --config {config.name} --density {density:g}",
            )  # fmt: skip
            print(f"{name} at {density:.0%}: {run.cycles} cycles ({predicted} predicted for its layers)")


if __name__ == "__main__":
    main()
