"""``pumice prune``: zeros among the weights of a network that is trained already."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ..errors import InputError
from ..floating import FloatGraph
from ..frontends import load_model
from ..frontends.native import save_graph
from ..frontends.native_float import save_float_graph
from ..graph import Graph
from ..inputs import load_input, load_samples
from ..pruning.network import prunable
from ..pruning.patterns import SPELLINGS, parse_pattern
from ..pruning.prune import MAGNITUDE, METHODS, SECOND_ORDER, prune, sensitive_sparsities
from .models import ModelFile, plain_table


def prune_command(
    model: ModelFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The network to write: .pumf of a float one, .pumq of an int8 one.")
    ],
    sparsity: Annotated[float, typer.Option(help="Share of all weights to drop, 0 to 1.")] = 0.5,
    pattern: Annotated[str, typer.Option(help=f"What goes together: {SPELLINGS}.")] = "unstructured",
    per_layer: Annotated[
        Path | None, typer.Option(help="JSON: share to drop by layer name; other layers are left alone.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Typical inputs: .npy, as pumice quantize or pumice run takes them.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"{' or '.join(METHODS)}. Default: {SECOND_ORDER} with --calibration, else {MAGNITUDE}."),
    ] = None,
) -> None:
    """Prune a trained network without training it again.

    With typical inputs, the weights that stay make up for those that go, and each layer gets the share of zeros that
    the network's results can bear.
    """
    graph = load_model(model)
    chosen_pattern = parse_pattern(pattern)
    samples = None if calibration is None else _samples(calibration, graph)
    chosen_method = method or (MAGNITUDE if samples is None else SECOND_ORDER)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), transient=True) as progress:
        if per_layer is not None:
            shares = load_shares(per_layer)
        else:
            shares = sensitive_sparsities(
                graph, sparsity, chosen_pattern, samples=samples, method=chosen_method,
                progress=_counter(progress, "sensitivity of layers", len(prunable(graph))),
            )  # fmt: skip
        pruned = prune(
            graph, shares, chosen_pattern, samples=samples, method=chosen_method,
            progress=_counter(progress, "pruning layers", len(shares)),
        )  # fmt: skip
    if isinstance(pruned, FloatGraph):
        save_float_graph(pruned, output)
    else:
        save_graph(pruned, output)
    console = Console()
    console.print(_table(pruned, shares))
    n_weights, n_nonzeros = _counts(pruned)
    kind = "float: pumice quantize makes it int8" if isinstance(pruned, FloatGraph) else "int8"
    how = f"{chosen_pattern}, {chosen_method}" + ("" if samples is None else f", {len(samples)} samples")
    console.print(
        f"{output}: {n_nonzeros:,} of {n_weights:,} weights are not zero ({n_nonzeros / n_weights:.1%}); {how}; {kind}",
        highlight=False,
    )


def load_shares(path: Path) -> dict[str, float]:
    """Sparsity by the layer's name, from a JSON object.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    try:
        shares = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    is_number = isinstance(shares, dict) and all(type(share) in (int, float) for share in shares.values())
    if not is_number or not shares or not all(0 <= share <= 1 for share in shares.values()):
        raise InputError(f'{path}: expected an object of layer names and shares of 0 to 1, such as {{"conv1": 0.5}}')
    return {name: float(share) for name, share in shares.items()}


def _samples(path: Path, graph: Graph | FloatGraph) -> np.ndarray:
    return load_samples(path, graph) if isinstance(graph, FloatGraph) else load_input(path, graph)


def _counter(progress: Progress, description: str, total: int) -> Callable[[str], None]:
    task = progress.add_task(description, total=total)
    return lambda _: progress.advance(task)


def _counts(graph: Graph | FloatGraph) -> tuple[int, int]:
    weights = [layer.weights for layer in prunable(graph).values()]
    return sum(map(np.size, weights)), sum(map(np.count_nonzero, weights))


def _table(graph: Graph | FloatGraph, shares: Mapping[str, float]) -> Table:
    table = plain_table("layer", "weights", "dropped", "kept")
    for name, layer in prunable(graph).items():
        n_kept = np.count_nonzero(layer.weights)
        table.add_row(name, f"{layer.weights.size:,}", f"{shares.get(name, 0.0):.0%}", f"{n_kept:,}")
    return table
