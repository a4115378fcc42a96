"""Modelled energy of networks, sparse and dense: ``python -m bench.energy [--config Z7020] [--device sim]``.

Activity is counted on the simulated board, one sample a network. *Dense* is the same network with every weight kept on
the same engine (format `dense`). All energies are modelled with the `45nm` set, published figures of the operations
alone: they compare networks and are no forecast of a board. IC and KWS at 25 % have each layer but the first pruned at
random; what they answer means nothing, what they cost does.
"""

import argparse
from pathlib import Path

import numpy as np
from pumice import open_device
from pumice.device import Device
from pumice.energy import EnergyReport, estimate, load_coefficients
from pumice.energy.model import BATCH_SIZES
from pumice.frontends import load_graph
from pumice.graph import Graph
from pumice.network import Model
from pumice.spec.config import CONFIGS
from rich.progress import track

from .networks import NETWORKS, sample
from .random_density import SEED, prune_at_random
from .record import record, tool_versions

TABLE = Path(__file__).with_name("energy.md")
RUNS = (("digits", None), ("vww", None), ("ic", None), ("ic", 0.25), ("kws", None), ("kws", 0.25), ("ad", None))
COEFFICIENTS = "45nm"


def report(device: Device, graph: Graph, x: np.ndarray, formats: str | None = None) -> EnergyReport:
    """Modelled energy of one inference."""
    told = []
    network = device.load(Model(graph), formats=formats)
    with device.observe(lambda *run: told.append(run)):
        network.run(x)
    return estimate(told, device.config, load_coefficients(COEFFICIENTS), backend=device.kind)


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
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
