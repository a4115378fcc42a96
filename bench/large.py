"""Networks larger than the chip on the simulated Z7020: ``python -m bench.large``.

Checks each output against the golden model, then records cycles and, where weights stream, how much of the memory
port's bandwidth carries them.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.driver import EngineDriver
from pumice.device.sim import open_sim
from pumice.graph import Conv, Graph, Tensor, Window
from pumice.image import Image
from pumice.spec.config import CONFIGS
from rich.progress import track

from .record import record, tool_versions

BANDWIDTH = 0.9  # beats a cycle: the simulated board's default
LATENCY = 40
WORD_BYTES = 8


def chain(name: str, shape: tuple[int, int, int], layers: list[tuple[int, int, int, float]], seed: int) -> Graph:
    """Convolutions with zero padding in a row: (outputs, kernel, stride, density) each; random weights."""
    rng = np.random.default_rng(seed)
    tensors = {"input": Tensor(name="input", shape=shape, scale=0.02, zero_point=-3)}
    convolutions, source = [], "input"
    for i, (n_out, kernel, stride, density) in enumerate(layers):
        height, width, n_in = tensors[source].shape
        pad = kernel // 2 if kernel < height else 0
        window = Window(
            kernel=(kernel, kernel), stride=(stride, stride), pad_top=pad, pad_bottom=pad, pad_left=pad, pad_right=pad
        )
        weights = rng.integers(-127, 128, (n_out, kernel, kernel, n_in))
        weights *= rng.random(weights.shape) < density
        output = f"layer{i}"
        tensors[output] = Tensor(
            name=output, shape=(*window.output_size(height, width), n_out), scale=0.02, zero_point=-20
        )
        # Accumulators have a spread of about 75 * 75 * sqrt(terms): bring them to some tens.
        scale = 40 / (75 * 75 * max(1.0, kernel * kernel * n_in * density) ** 0.5)
        convolutions.append(
            Conv(
                name=output, inputs=(source,), output=output, window=window, weights=weights.astype(np.int8),
                bias=rng.integers(-2000, 2000, n_out).astype(np.int32), scales=np.full(n_out, scale), low=-20,
            )
        )  # fmt: skip
        source = output
    return Graph(
        name=name, tensors=tensors, layers=convolutions, input="input", output=source,
        input_shape=(1, *shape), output_shape=(1, *tensors[source].shape),
    )  # fmt: skip


def large_convolution() -> Graph:
    """112 x 112 x 32 to 64 channels, 3 x 3, half of the weights zero."""
    return chain("convolution", (112, 112, 32), [(64, 3, 1, 0.5)], seed=1)


def large_dense() -> Graph:
    """Fully connected, 9216 to 4096, 9 % of the weights not zero."""
    return chain("dense", (1, 1, 9216), [(4096, 1, 1, 0.09)], seed=2)


def large_dense_csr() -> Graph:
    """The same with absolute indices, 24 bits a weight, so that the memory port and not the decoders is the limit."""
    return replace(large_dense(), name="dense_csr")


def deep() -> Graph:
    """Twenty convolutions with 2.03 million weights, a quarter of them not zero."""
    widths = [(32, 3, 1, 0.5), (64, 3, 2, 0.25), *[(116, 3, 1, 0.25)] * 17, (10, 1, 1, 1.0)]
    return chain("deep", (24, 24, 16), widths, seed=3)


def striped() -> Graph:
    """Fully connected, 4096 to 4096, 9 % of the weights not zero, on all lanes."""
    return chain("striped", (1, 1, 4096), [(4096, 1, 1, 0.09)], seed=4)


NETWORKS: dict[str, Callable[[], Graph]] = {
    "convolution": large_convolution,
    "dense": large_dense,
    "dense_csr": large_dense_csr,
    "deep": deep,
    "striped": striped,
}

FORMATS: dict[str, str | dict[str, str]] = {"dense": "rice", "dense_csr": "csr", "striped": {"layer0": "stripes"}}
"""Where the compiler's trial of every format would take minutes; where it would not take what is to be measured."""


def run_and_check(board: EngineDriver, graph: Graph, *, seed: int = 0) -> tuple[Image, int]:
    """Run a network on a random input and compare its output with the golden model's; image and cycles.

    Raises
    ------
    SystemExit
        The outputs differ.
    """
    image = compile_graph(graph, board.config, formats=FORMATS.get(graph.name))
    x = np.random.default_rng(seed).integers(-128, 128, graph.tensors["input"].shape).astype(np.int8)
    board.load(image)
    board.hardware.clear_traffic()
    run = board.run(image.pack_input(x))
    if not np.array_equal(image.unpack_output(run.output), golden.run(graph, x)):
        raise SystemExit(f"{graph.name}: the output differs from the golden model's")
    return image, run.cycles


def weight_share(board: EngineDriver, image: Image) -> float:
    """Of what the port could read from the first beat of the last run to the last one, the share that was weights."""
    traffic = board.hardware.traffic
    cycles = traffic.last_read - traffic.first_read + 1
    return image.metadata["streamed_bytes"] / WORD_BYTES / (cycles * BANDWIDTH)


def busy_slots(image: Image) -> float:
    """Of a striped layer's slots, one a lane and step, the share with a weight."""
    (layer,) = image.metadata["layers"]
    slots = layer["steps"] * CONFIGS[image.metadata["config"]].n_lanes
    return layer["nonzero_macs"] / (slots / 2 if "pairs" in layer["format"] else slots)


def main() -> None:
    """Command line."""
    config = CONFIGS["Z7020"]
    common = {
        "kind": "simulated", "config": config.name, "tools": tool_versions("amaranth", "verilator"),
        "command": "python -m bench.large",
    }  # fmt: skip
    memory = f"memory of {LATENCY} cycles latency, {BANDWIDTH} beats a cycle"
    with open_sim(config, latency=LATENCY, bandwidth=BANDWIDTH) as board:
        for name, make in track(NETWORKS.items(), description="networks"):
            graph = make()
            image, cycles = run_and_check(board, graph)
            workload = f"{graph.name}: {(make.__doc__ or '').splitlines()[0]} One sample, {memory}"
            record(
                f"large.{name}.cycles", cycles, "cycles", better="lower", workload=workload,
                predicted=image.metadata["predicted_cycles"], **common,
            )  # fmt: skip
            print(f"{name}: {cycles} cycles, {image.metadata['predicted_cycles']} predicted")
            if name == "striped":
                share = busy_slots(image)
                record(
                    f"large.{name}.busy_slots", round(share, 4), "ratio", better="higher", workload=workload, **common
                )
                print(f"{name}: {share:.1%} of the slots have a weight")
            if image.metadata["streamed_bytes"]:
                share = weight_share(board, image)
                record(
                    f"large.{name}.weight_bandwidth", round(share, 4), "ratio", better="higher", workload=workload,
                    **common,
                )  # fmt: skip
                print(f"{name}: weights take {share:.1%} of the port's bandwidth from its first to its last read")


if __name__ == "__main__":
    main()
