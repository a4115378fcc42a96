"""How busy masks of real pruned layers keep the lanes: ``python -m bench.dlmc [--data FOLDER]``.

Masks of 49 to 95 % zeros from the Deep Learning Matrix Collection, with random int8 values, multiply 64 columns of
activations: a 1x1 convolution over 8 x 8 positions on the simulated `Z7020`, each output checked against the golden
model. A mask whose activations or results do not fit on the chip is cut into equal blocks, each a layer of its own; a
mask's cycles are those of its blocks one after the other, with weights in place.

*Lane peak* is non-zero multiply-accumulates over multipliers times cycles. *Whole layer*: all cycles of the layer's log
entry, from its start with empty pipelines to its completion. *Computing*: from its first step to its last one, that
is without `stall_start` (mean of the cores) and the pipeline behind the last step (`DRAIN_CYCLES`). *Predicted*: the
compiler's cycles over the simulated ones. *Port*: share of the cycles that a memory port of 8 bytes a cycle would need
to bring the same weights (calculated); below 100 %, streaming hides behind the block before.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.driver import EngineDriver, EngineRun
from pumice.device.sim import open_sim
from pumice.graph import Conv, Graph, Tensor, Window
from pumice.image import Image
from pumice.passes.cycles import DRAIN_CYCLES, MIN_ROW_CYCLES
from pumice.spec.config import CONFIGS, EngineConfig
from rich.progress import track

from .masks import random_values, read_mask
from .record import record, tool_versions

ROOT = Path(__file__).parents[1]
TABLE, PLOT = (Path(__file__).with_name(f"dlmc.{kind}") for kind in ("md", "svg"))
COMMAND = "python -m bench.dlmc"
MAP = (8, 8)
N_COLUMNS = MAP[0] * MAP[1]
SPARSITY = (0.49, 0.955)
INPUT_SHARE = 0.75  # of activation memory, at most: 768 columns on `Z7020`
TOLERANCE = 0.03  # of predicted cycles
SQUARE, N_ROUNDS = 512, 2
BAR = 0.9
SEED = 64


class Point(NamedTuple):
    """What the blocks of one mask took together; ``short_rows``: rows of blocks that the drain makes wait."""

    name: str
    shape: tuple[int, int]
    n_blocks: int
    n_rows: int
    short_rows: int
    formats: tuple[str, ...]
    nonzeros: int
    steps: int
    cycles: int
    computing: float
    predicted: int
    weight_bytes: int

    def peak(self, cycles: float, config: EngineConfig) -> float:
        """Lane peak, ``cycles`` counted: every step keeps all lanes of a core busy, 64 columns being full vectors."""
        return self.steps / (config.n_cores * cycles)

    @property
    def sparsity(self) -> float:
        """Share of zeros."""
        return 1 - self.nonzeros / (self.shape[0] * self.shape[1])


def blocks(mask: np.ndarray, activation_bytes: int) -> Iterator[np.ndarray]:
    """The mask in as few equal parts as fit: the columns' activations beside the rows' results."""
    n_planes = activation_bytes // N_COLUMNS
    for columns in np.array_split(np.arange(mask.shape[1]), -(-mask.shape[1] // int(INPUT_SHARE * n_planes))):
        room = n_planes - len(columns)
        for rows in np.array_split(np.arange(len(mask)), -(-len(mask) // room)):
            yield mask[np.ix_(rows, columns)]


def network(weights: list[np.ndarray], rng: np.random.Generator, max_bias: int = 2000) -> Graph:
    """1x1 convolutions in a row, without activation, whose results spread over the range of int8."""
    tensors = {"columns": Tensor(name="columns", shape=(*MAP, weights[0].shape[1]), scale=0.02, zero_point=-3)}
    layers, source = [], "columns"
    for i, rows in enumerate(weights):
        output = f"product{i}"
        tensors[output] = Tensor(name=output, shape=(*MAP, len(rows)), scale=0.02, zero_point=-20)
        terms = max(1.0, np.count_nonzero(rows) / len(rows))
        layers.append(Conv(
            name=output, inputs=(source,), output=output, window=Window(kernel=(1, 1)),
            weights=rows[:, None, None, :], bias=rng.integers(-max_bias, max_bias + 1, len(rows)).astype(np.int32),
            scales=np.full(len(rows), 40 / (75 * 75 * terms**0.5)),
        ))  # fmt: skip
        source = output
    return Graph(
        name="masks", tensors=tensors, layers=layers, input="columns", output=source,
        input_shape=(1, *tensors["columns"].shape), output_shape=(1, *tensors[source].shape),
    )  # fmt: skip


def run_exactly(name: str, graph: Graph, board: EngineDriver, rng: np.random.Generator) -> tuple[Image, EngineRun]:
    """Run a network once on random columns; raises SystemExit where the hardware differs from the golden model."""
    image = compile_graph(graph, board.config)
    x = rng.integers(-128, 128, graph.tensors["columns"].shape).astype(np.int8)
    board.load(image)
    run = board.run(image.pack_input(x))
    if not np.array_equal(image.unpack_output(run.output), golden.run(graph, x)):
        raise SystemExit(f"{name}: the output differs from the golden model's; nothing recorded")
    return image, run


class Streamed(NamedTuple):
    """A layer of a network whose weights do not all stay on the chip."""

    sparsity: float
    format: str
    streamed: bool
    cycles: int
    peak: float


def stream(masks: list[np.ndarray], board: EngineDriver, rng: np.random.Generator) -> list[Streamed]:
    """The masks as layers of one network, each with what the log says of it: waiting for its weights included.

    Without biases, empty rows make the zero point and drop out, so that maps shrink from layer to layer: they just fit.
    """
    graph = network([random_values(mask, rng) for mask in masks], rng, max_bias=0)
    image, run = run_exactly("masks in a row", graph, board, rng)
    found = []
    for mask, description in zip(masks, image.metadata["layers"], strict=True):
        entries = [run.log[tag] for tag in description["tags"]]
        cycles = sum(entry["cycles"] for entry in entries)
        peak = sum(entry["nonzeros"] for entry in entries) / (board.config.n_cores * cycles)
        found.append(Streamed(float(1 - mask.mean()), description["format"], description["streamed"], cycles, peak))
    return found


def measure(name: str, mask: np.ndarray, board: EngineDriver, rng: np.random.Generator) -> Point:
    """Run a mask's blocks; raises SystemExit where the hardware differs from the golden model or the prediction."""
    config, layers, entries, short_rows = board.config, [], [], 0
    for block in blocks(mask, board.config.activation_bytes):
        image, run = run_exactly(name, network([random_values(block, rng)], rng), board, rng)
        (description,), (entry,) = image.metadata["layers"], run.log
        if abs(description["predicted_cycles"] / entry["cycles"] - 1) > TOLERANCE:
            raise SystemExit(f"{name}: {description['predicted_cycles']} cycles predicted of {entry['cycles']}")
        if entry["nonzeros"] * config.n_lanes != np.count_nonzero(block) * N_COLUMNS:
            raise SystemExit(f"{name}: {entry['nonzeros']} non-zeros counted of {np.count_nonzero(block)}")
        layers.append(description)
        entries.append(entry)
        short_rows += int((block.sum(axis=1) < MIN_ROW_CYCLES).sum())
    return Point(
        name=name,
        shape=(mask.shape[0], mask.shape[1]),
        n_blocks=len(layers),
        n_rows=sum(description["n_rows"] for description in layers),
        short_rows=short_rows,
        formats=tuple(sorted({description["format"] for description in layers})),
        nonzeros=int(mask.sum()),
        steps=sum(entry["nonzeros"] for entry in entries),
        cycles=sum(entry["cycles"] for entry in entries),
        computing=sum(entry["cycles"] - entry["stall_start"] / config.n_cores - DRAIN_CYCLES for entry in entries),
        predicted=sum(description["predicted_cycles"] for description in layers),
        weight_bytes=sum(description["weight_bytes"] for description in layers),
    )


def together(points: list[Point]) -> list[tuple[str, Point]]:
    """Points of each five per cent of sparsity as one."""
    found = []
    for low in range(45, 100, 5):
        of_band = [p for p in points if low <= 100 * p.sparsity + 0.5 < low + 5]  # 0.9497 belongs to 95
        if of_band:
            sums = {
                field: sum(getattr(p, field) for p in of_band)
                for field in ("n_blocks", "n_rows", "short_rows", "nonzeros", "steps", "cycles", "computing",
                              "predicted", "weight_bytes")
            }  # fmt: skip
            shape = (1, sum(p.shape[0] * p.shape[1] for p in of_band))
            found.append(
                (f"{low} to {low + 5} %", Point(name=f"{len(of_band)} masks", shape=shape, formats=(), **sums))
            )
    return found


def table(points: list[Point], streamed: list[Streamed], config: EngineConfig) -> str:
    """Markdown."""
    lines = [
        "# Lane peak on masks of real pruned layers", "", *__doc__.split("\n\n", 1)[1].strip().splitlines(), "",
        "![lane peak over sparsity](dlmc.svg)", "",
        "## By sparsity", "",
        "| zeros | masks | cycles | whole layer | computing | predicted |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for band, p in together(points):
        lines.append(
            f"| {band} | {p.name.split()[0]} | {p.cycles:,} | {p.peak(p.cycles, config):.1%} | "
            f"{p.peak(p.computing, config):.1%} | {p.predicted / p.cycles:.3f} |"
        )
    lines += [
        "", "## By mask", "",
        f"*Short*: rows of blocks with fewer than {MIN_ROW_CYCLES} non-zeros, which take {MIN_ROW_CYCLES} cycles.", "",
        "| zeros | mask | rows x columns | blocks | formats | short | cycles | whole layer | computing | predicted "
        "| port |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for p in points:
        port = p.weight_bytes / 8 / p.cycles
        lines.append(
            f"| {p.sparsity:.1%} | {p.name} | {p.shape[0]} x {p.shape[1]} | {p.n_blocks} | {', '.join(p.formats)} | "
            f"{p.short_rows / p.n_rows:.0%} | {p.cycles:,} | {p.peak(p.cycles, config):.1%} | "
            f"{p.peak(p.computing, config):.1%} | {p.predicted / p.cycles:.3f} | {port:.0%} |"
        )
    lines += [
        "", "## Streamed", "",
        f"Square masks of {SQUARE} columns as layers of one network, each {N_ROUNDS} times, so that not all stay on",
        "the chip. Cycles as the layers' log entries have them, with whatever waiting for weights there was.", "",
        "| zeros | format | weights | cycles | whole layer |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for layer in streamed:
        weights = "streamed" if layer.streamed else "on the chip"
        lines.append(f"| {layer.sparsity:.1%} | {layer.format} | {weights} | {layer.cycles:,} | {layer.peak:.1%} |")
    return "\n".join(lines) + "\n"


def plot(points: list[Point], config: EngineConfig, path: Path) -> None:
    """Lane peak over sparsity: a mark a mask, its area the mask's work."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    x = [100 * p.sparsity for p in points]
    areas = [15 + 60 * (p.nonzeros / max(q.nonzeros for q in points)) ** 0.5 for p in points]
    for label, marker, color, of in (("whole layer", "o", "C0", "cycles"), ("computing", "^", "C1", "computing")):
        y = [100 * p.peak(getattr(p, of), config) for p in points]
        axes.scatter(x, y, s=areas, marker=marker, color=color, alpha=0.7, label=f"{label}, each mask")
    bands = together(points)
    x = [100 * p.sparsity for _, p in bands]
    axes.plot(x, [100 * p.peak(p.cycles, config) for _, p in bands], color="C0", label="whole layer, 5 % together")
    axes.axhline(100 * BAR, color="black", linestyle="--", linewidth=1)
    axes.set(
        xlabel="zeros, %", ylabel="lane peak, %", ylim=(75, 100.5),
        title=f"dlmc masks times {N_COLUMNS} columns on {config.name}, simulated",
    )  # fmt: skip
    axes.legend(loc="lower left")
    with mpl.rc_context({"svg.hashsalt": "dlmc"}):
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "dlmc", help="folder of masks")
    data = parser.parse_args().data
    masks = {path.relative_to(data): read_mask(path) for path in sorted(data.rglob("*.smtx"))}
    masks = {path: mask for path, mask in masks.items() if SPARSITY[0] <= 1 - mask.mean() <= SPARSITY[1]}
    if not masks:
        raise SystemExit(f"{data} has no masks of {SPARSITY[0]:.0%} to {SPARSITY[1]:.0%} zeros")
    config, rng = CONFIGS["Z7020"], np.random.default_rng(SEED)
    with open_sim(config) as board:
        points = [
            measure(" ".join((*path.parts[:2], path.stem)), mask, board, rng)
            for path, mask in track(masks.items(), description="masks")
        ]
        square = [mask for mask in masks.values() if mask.shape == (SQUARE, SQUARE)]
        streamed = stream(sorted(square * N_ROUNDS, key=np.mean, reverse=True), board, rng)
    points.sort(key=lambda p: (p.sparsity, p.name))
    TABLE.write_text(table(points, streamed, config))
    plot(points, config, PLOT)
    figures = {
        "lowest_streamed_peak": min(layer.peak for layer in streamed if layer.streamed),
        "lowest_band_lane_peak": min(p.peak(p.cycles, config) for _, p in together(points)),
        "lowest_lane_peak": min(p.peak(p.cycles, config) for p in points),
        "lowest_computing_peak": min(p.peak(p.computing, config) for p in points),
        "masks_from_90_percent": sum(p.peak(p.cycles, config) >= BAR for p in points) / len(points),
    }
    for name, value in figures.items():
        record(
            f"dlmc.{name}", round(value, 4), "ratio", better="higher", kind="simulated", config=config.name,
            workload=f"{len(points)} dlmc masks of 49 to 95 % zeros, int8, {N_COLUMNS} columns, seed {SEED}",
            tools=tool_versions("amaranth", "verilator"), command=COMMAND,
        )  # fmt: skip
        print(f"{name}: {value:.1%}")


if __name__ == "__main__":
    main()
