"""Each weight format and value coding forced on whole networks: ``python -m bench.forced_formats``.

On the simulated `Z7020`, every tensor checked against the golden model. VWW as shipped has most of its zeros in
channels that are never computed; IC and KWS have each layer but the first pruned at random to 25 %. A layer that a
format cannot write takes the compiler's choice; *layers* says how many took what was asked for, and the figures
behind it are of these layers alone. *Steps a non-zero*: what the format itself needs, zeros and escapes included.
*Without a step*: core cycles in which the weight stream or a row's header had not arrived, of all core cycles.
Codebook runs are on weights brought to 15 non-zero values by k-means, another network. `chosen` is the compiler's own
choice.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.driver import EngineDriver
from pumice.device.sim import open_sim
from pumice.frontends import load_graph
from pumice.graph import Graph
from pumice.spec.coding import CodingRequest
from pumice.spec.config import CONFIGS
from pumice.spec.formats import FORMATS
from pumice.spec.values import VALUE_CODINGS
from pumice.spec.values.codebook import share_weights
from rich.progress import track

from .networks import NETWORKS, sample
from .random_density import SEED, prune_at_random
from .record import record, tool_versions

TABLE = Path(__file__).with_name("forced_formats.md")
DENSITIES = {"vww": None, "ic": 0.25, "kws": 0.25}
CODED = "rice"  # the format that value codings are shown with
REQUESTS = [None, *FORMATS, *(f"{CODED}+{values}" for values in VALUE_CODINGS if values != "plain")]


def with_shared_weights(graph: Graph) -> Graph:
    """The graph with at most 16 values in each layer."""
    return replace(
        graph,
        layers=[
            replace(layer, weights=share_weights(layer.weights)) if hasattr(layer, "weights") else layer
            for layer in graph.layers
        ],
    )


def takes(request: str | None, chosen: str) -> bool:
    """Whether a layer's coding is the one that was asked for."""
    if request is None:
        return True
    asked, taken = CodingRequest.parse(request), CodingRequest.parse(chosen)
    return (asked.format, asked.values) == (taken.format, taken.values)


def run(board: EngineDriver, graph: Graph, x: np.ndarray, request: str | None) -> dict[str, float]:
    """Cycles of an inference and what the layers in the format counted; raises SystemExit where a tensor differs."""
    expected = golden.run(graph, x, keep=True)
    debug = compile_graph(graph, board.config, formats=request, debug=True)
    board.load(debug)
    tensors = debug.unpack_tensors(board.run(debug.pack_input(x)).output)
    for name, (values, channels) in tensors.items():
        if not np.array_equal(values, expected[name.split("@")[0]][..., list(channels)]):
            raise SystemExit(f"{request}: tensor {name} differs from the golden model's; nothing recorded")
    image = compile_graph(graph, board.config, formats=request)
    board.load(image)
    result = board.run(image.pack_input(x))
    if not np.array_equal(image.unpack_output(result.output), expected[image.metadata["output"]["name"]]):
        raise SystemExit(f"{request}: the output differs from the golden model's; nothing recorded")
    layers = [layer for layer in image.metadata["layers"] if layer["format"] != "stripes"]
    forced = [layer for layer in layers if takes(request, layer["format"])]
    entries = [result.log[tag] for layer in forced for tag in layer["tags"]]
    total = {counter: sum(entry[counter] for entry in entries) for counter in result.log[0]}
    return {
        "cycles": result.cycles,
        "predicted": image.metadata["predicted_cycles"],
        "n_layers": len(layers),
        "n_forced": len(forced),
        "weight_bytes": image.metadata["weight_bytes"],
        "steps": total["steps"] / total["nonzeros"],
        "waits": total["stall_fetch"] / (board.config.n_cores * total["cycles"]),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=DENSITIES, default=list(DENSITIES))
    names = parser.parse_args().networks
    lines = ["# Formats forced on whole networks", "", *__doc__.split("\n\n", 1)[1].strip().splitlines()]
    with open_sim(CONFIGS["Z7020"]) as board:
        for name in names:
            pruned, density = load_graph(NETWORKS[name]), DENSITIES[name]
            x = sample(NETWORKS[name], pruned)
            if density:
                pruned = prune_at_random(pruned, density, np.random.default_rng(SEED))
            title = f"{name} at {density:.0%}" if density else f"{name} as shipped"
            prefix = title.replace(" ", "_")
            lines += [
                "", f"## {title}", "",
                "| format | layers | cycles | bytes of weights | steps a non-zero | without a step |",
                "|---|---|---|---|---|---|",
            ]  # fmt: skip
            for request in track(REQUESTS, description=name):
                text = request or "chosen"
                graph = with_shared_weights(pruned) if text.endswith("codebook") else pruned
                found = run(board, graph, x, request)
                lines.append(
                    f"| {text} | {found['n_forced']} of {found['n_layers']} | {found['cycles']:,} | "
                    f"{found['weight_bytes']:,} | {found['steps']:.2f} | {found['waits']:.2%} |"
                )
                record(
                    f"{prefix}.cycles_{text}", found["cycles"], "cycles", better="lower", kind="simulated",
                    config=board.config.name, predicted=found["predicted"],
                    workload=f"{title}, int8, {text} forced on {found['n_forced']} of {found['n_layers']} layers",
                    tools=tool_versions("amaranth", "verilator"),
                    command=f"python -m bench.forced_formats --networks {' '.join(names)}",
                )  # fmt: skip
            print("\n".join(lines[-len(REQUESTS) :]), flush=True)
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
