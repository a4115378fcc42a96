"""Size and rate of every weight format on real and random weights: ``python -m bench.formats DATA_FOLDER``.

Bits are per weight position, value tables included (one a layer), each layer with the parameters that make it smallest;
a layer that a format cannot write counts in dense. ``plain`` and ``huffman`` are lossless; ``codebook`` is on weights
brought to 15 non-zero values and zero by k-means, another network. The bounds: ``n_positions * H(d) + 8 nnz`` for plain
values, ``n_positions * H(d) + nnz * H(values)`` for entropy-coded ones, per layer of density ``d``. Steps are per
non-zero: cycles of long rows. The table goes to ``bench/formats.md``.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pumice.frontends import load_graph
from pumice.graph import Conv
from pumice.spec.formats import FORMATS, WeightFormat
from pumice.spec.values import VALUE_CODINGS, count_values
from pumice.spec.values.codebook import share_weights

from .masks import random_values, read_mask
from .record import record, tool_versions

TABLE = Path(__file__).with_name("formats.md")
COMMAND = "python -m bench.formats DATA_FOLDER"
MAX_TAPS = 256  # layers with no more positions can have flat addressing
DLMC_ROWS = 64
SEED = 1


class Layer(NamedTuple):
    """Rows x positions of int8, and the length of their runs of channels."""

    rows: np.ndarray
    run: int


class Size(NamedTuple):
    """Bits and steps of a layer."""

    bits: int
    steps: int


def network_layers(path: Path) -> list[Layer]:
    """Convolutions and dense layers of a model file."""
    layers = []
    for layer in load_graph(path).layers:
        if isinstance(layer, Conv):
            rows = layer.weights.reshape(len(layer.weights), -1)
            layers.append(Layer(rows, rows.shape[1] if rows.shape[1] <= MAX_TAPS else layer.weights.shape[-1]))
    return layers


def mlp_layers(path: Path) -> list[Layer]:
    """The pruned MNIST MLP, each layer quantised to -127..127."""
    layers = []
    with np.load(path) as arrays:
        for name in sorted(n for n in arrays.files if n.endswith("weight_in_x_out")):
            weights = arrays[name].T
            rows = np.rint(weights * (127 / np.abs(weights).max())).astype(np.int8)
            layers.append(Layer(rows, rows.shape[1]))
    return layers


def mask_layer(path: Path, rng: np.random.Generator) -> Layer:
    """The first rows of a .smtx mask, with random non-zero values."""
    mask = read_mask(path)[:DLMC_ROWS]
    return Layer(random_values(mask, rng), mask.shape[1])


def workloads(data: Path) -> Iterator[tuple[str, list[Layer]]]:
    """Names and layers."""
    rng = np.random.default_rng(SEED)
    yield "VWW as shipped", network_layers(data / "mlperf_tiny" / "vww" / "vww_96_int8.tflite")
    yield "MNIST MLP, 5 %", mlp_layers(data / "mnist_mlp_pruned" / "model_5P_pruned_weights.npz")
    for sparsity in (0.5, 0.75, 0.9, 0.95):
        yield f"random {sparsity:.0%} zeros", [Layer(random_values(rng.random((64, 1024)) >= sparsity, rng), 1024)]
    masks = sorted((data / "dlmc").rglob("*.smtx"))
    for sparsity in sorted({path.parent.name for path in masks}):
        layers = [mask_layer(path, rng) for path in masks if path.parent.name == sparsity]
        yield f"dlmc {sparsity} zeros, {len(layers)} masks", layers


def entropy(counts: np.ndarray) -> float:
    """Bits to tell what occurs ``counts`` times, all together."""
    p = counts[counts > 0] / counts.sum()
    return float(-(counts[counts > 0] * np.log2(p)).sum())


def bounds(layers: list[Layer]) -> tuple[float, float]:
    """Fewest bits for positions with plain values, and with entropy-coded values."""
    plain = coded = 0.0
    for rows, _ in layers:
        n = np.count_nonzero(rows)
        places = entropy(np.array([n, rows.size - n]))
        plain += places + 8 * n
        coded += places + entropy(count_values(rows[rows != 0]))
    return plain, coded


def smallest(layer: Layer, format_class: type[WeightFormat], values: str) -> Size | None:
    """The layer with the parameters that take the fewest bits."""
    sizes = []
    for format in format_class.candidates(*layer):
        if not format.supports(*layer):
            continue
        steps = [
            s
            for i in range(0, len(layer.rows), format.group)
            for s in format.steps(layer.rows[i : i + format.group], layer.run)
        ]
        counts = count_values(np.concatenate([s.weight[s.has_value] for s in steps]))
        coding = VALUE_CODINGS[values].fit(counts)
        if coding:
            bits = sum(int(s.index_bits.sum()) for s in steps) + int(counts @ coding.lengths) + 8 * len(coding.table)
            sizes.append(Size(bits, sum(len(s.advance) for s in steps)))
    return min(sizes, default=None)


def measure(layer: Layer, format_name: str, values: str) -> Size:
    """A layer in a format, or in dense where that cannot write it."""
    if values == "codebook":
        layer = Layer(share_weights(layer.rows), layer.run)
    return smallest(layer, FORMATS[format_name], values) or smallest(layer, FORMATS["dense"], values)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with mlperf_tiny, mnist_mlp_pruned and dlmc")
    lines = ["# Weight formats", "", *__doc__.split("\n\n", 1)[1].strip().splitlines()]
    for name, layers in workloads(parser.parse_args().data):
        n_positions = sum(rows.size for rows, _ in layers)
        n_nonzeros = sum(int(np.count_nonzero(rows)) for rows, _ in layers)
        plain_bound, coded_bound = (bits / n_positions for bits in bounds(layers))
        lines += [
            "",
            f"## {name}: {n_positions} positions, {1 - n_nonzeros / n_positions:.1%} zeros",
            "",
            f"Bound: {plain_bound:.3f} bits with plain values, {coded_bound:.3f} with entropy-coded ones.",
            "",
            "| format | plain | of bound | huffman | of bound | codebook | steps a non-zero |",
            "|---|---|---|---|---|---|---|",
        ]
        by_layer = {(f, v): [measure(layer, f, v) for layer in layers] for f in FORMATS for v in VALUE_CODINGS}
        sizes = {key: Size(sum(s.bits for s in found), sum(s.steps for s in found)) for key, found in by_layer.items()}
        bits = {key: size.bits / n_positions for key, size in sizes.items()}
        for f in FORMATS:
            plain, huffman, codebook = (bits[f, v] for v in ("plain", "huffman", "codebook"))
            lines.append(
                f"| {f} | {plain:.3f} | {plain / plain_bound:.3f} | {huffman:.3f} | {huffman / plain_bound:.3f} | "
                f"{codebook:.3f} | {sizes[f, 'plain'].steps / n_nonzeros:.2f} |"
            )
        for title, lossless in (("plain", ("plain",)), ("lossless", ("plain", "huffman"))):
            choices = [[by_layer[f, v][i] for f in FORMATS for v in lossless] for i in range(len(layers))]
            mixed = sum(min(choice).bits for choice in choices) / n_positions
            text = f"{mixed:.3f} bits, {mixed / plain_bound:.3f} of bound"
            lines += ["", f"The smallest {title} format of each layer: {text}."]
            record(
                f"formats.smallest_{title}_to_bound", mixed / plain_bound, "ratio", better="lower", kind="simulated",
                config="any", workload=f"{name}; bits over n_positions * H(d) + 8 nnz", tools=tool_versions("numpy"),
                command=COMMAND,
            )  # fmt: skip
        print("\n".join(lines[-(len(FORMATS) + 10) :]), flush=True)
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
