"""Inferences in a row on the simulated board: ``python -m bench.throughput [--config Z7020] [--samples 16]``.

What `Network.run_many` reaches of the engine-bound rate: cycles of all layers over cycles from doorbell to interrupt.
Each output is checked against the golden model before anything is recorded.
"""

import argparse

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.sim import open_sim
from pumice.frontends import load_graph
from pumice.spec.config import CONFIGS
from rich.progress import track

from .networks import NETWORKS
from .record import record, tool_versions

SEED = 0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--samples", type=int, default=16)
    arguments = parser.parse_args()
    config, n = CONFIGS[arguments.config], arguments.samples
    command = f"python -m bench.throughput --config {config.name} --samples {n}"
    with open_sim(config) as board:
        for name in track(arguments.networks, description="networks"):
            if not NETWORKS[name].exists():
                print(f"{name}: skipped, {NETWORKS[name].name} is not here")
                continue
            graph = load_graph(NETWORKS[name])
            image = compile_graph(graph, config)
            shape = graph.tensors[graph.input].shape
            samples = np.random.default_rng(SEED).integers(-128, 128, (n, *shape)).astype(np.int8)
            board.load(image)
            packed = [image.pack_input(x) for x in samples]
            board.run(packed[0])  # the first one fills the instruction cache
            runs = board.run_many(packed)
            for x, run in zip(samples, runs, strict=True):
                expected = golden.run(graph, x, keep=True)[image.metadata["output"]["name"]]
                if not np.array_equal(image.unpack_output(run.output), expected):
                    raise SystemExit(f"{name}: an output differs from the golden model's; nothing recorded")
            cycles = sum(run.cycles for run in runs) / n
            bound = sum(entry["cycles"] for run in runs for entry in run.log) / n
            workload = f"{name}, int8 as shipped, {n} samples in a row, {runs[0].n_together} together"
            record(
                f"{name}.throughput_of_engine_bound", round(bound / cycles, 4), "ratio", better="higher",
                kind="simulated", config=config.name, workload=workload, command=command,
                tools=tool_versions("amaranth", "verilator"),
            )  # fmt: skip
            print(f"{name}: {cycles:.0f} cycles a sample, {bound:.0f} of them in layers: {bound / cycles:.2%}")


if __name__ == "__main__":
    main()
