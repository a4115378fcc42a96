"""Whole inferences on the simulated board, doorbell to interrupt: ``python -m bench.networks [--config Z7020]``.

Runs the digits network of the repository and, where ``../shared/data`` is present, the MLPerf Tiny networks as shipped;
checks each output against the golden model before it records anything. Then ``IN_A_ROW`` samples without a pause.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.sim import open_sim
from pumice.frontends import load_graph
from pumice.inputs import load_input
from pumice.spec.config import CONFIGS
from rich.progress import track

from .record import record, tool_versions

ROOT = Path(__file__).parents[1]
IN_A_ROW = 4
MLPERF = ROOT.parent / "shared" / "data" / "mlperf_tiny"
NETWORKS = {
    "digits": ROOT / "models" / "digits" / "digits.tflite",
    "vww": MLPERF / "vww" / "vww_96_int8.tflite",
    "ic": MLPERF / "ic" / "pretrainedResnet_int8.tflite",
    "kws": MLPERF / "kws" / "kws_ref_model_int8.tflite",
    "ad": MLPERF / "ad" / "ad01_int8.tflite",
}


def sample(path: Path, graph) -> np.ndarray:
    """The network's first sample input, or random integers where it has none."""
    inputs = path.parent / "inputs"
    if inputs.is_dir():
        return load_input(sorted(inputs.iterdir())[0], graph)[0]
    return np.random.default_rng(0).integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=CONFIGS, default="Z7020")
    config = CONFIGS[parser.parse_args().config]
    common = {
        "kind": "simulated", "config": config.name, "tools": tool_versions("amaranth", "verilator"),
        "command": f"python -m bench.networks --config {config.name}",
    }  # fmt: skip
    cycles, seconds = 0, 0.0
    with open_sim(config) as board:
        for name, path in track(NETWORKS.items(), description="networks"):
            if not path.exists():
                print(f"{name}: skipped, {path.name} is not here")
                continue
            graph = load_graph(path)
            image = compile_graph(graph, config)
            x = sample(path, graph)
            board.load(image)
            start = time.process_time()
            run = board.run(image.pack_input(x))
            seconds += time.process_time() - start
            cycles += run.cycles
            expected = golden.run(graph, x, keep=True)[image.metadata["output"]["name"]]
            if not np.array_equal(image.unpack_output(run.output), expected):
                raise SystemExit(f"{name}: the output differs from the golden model's; nothing recorded")
            utilisation = sum(layer["nonzero_macs"] for layer in image.metadata["layers"]) / (
                config.n_multipliers * run.cycles
            )
            workload = f"{name}, int8 as shipped, one sample, weights resident where they fit"
            record(
                f"{name}.cycles", run.cycles, "cycles", better="lower", workload=workload,
                predicted=image.metadata["predicted_cycles"], **common,
            )  # fmt: skip
            record(
                f"{name}.mac_utilisation", round(utilisation, 4), "ratio", better="higher", workload=workload, **common
            )
            in_a_row = sum(each.cycles for each in board.run_many([image.pack_input(x)] * IN_A_ROW)) / IN_A_ROW
            record(
                f"{name}.cycles_in_a_row", round(in_a_row), "cycles", better="lower",
                workload=f"{name}, int8 as shipped, a sample of {IN_A_ROW} in a row", **common,
            )  # fmt: skip
            print(
                f"{name}: {run.cycles} cycles, {run.cycles / config.clock_mhz:.0f} us at {config.clock_mhz:g} MHz; "
                f"{in_a_row:.0f} each of {IN_A_ROW} in a row"
            )
    rate = cycles / seconds
    workload = "clock cycles of these runs per second of processor time"
    record("simulator.cycles_per_second", round(rate), "cycle/s", better="higher", workload=workload, **common)
    print(f"simulator: {rate:.0f} cycles per second of processor time")


if __name__ == "__main__":
    main()
