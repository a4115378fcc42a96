"""``pumice check`` and ``pumice quantize``: what a model holds, and float models to int8."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ..compiler import compile_network
from ..errors import CompileError, InputError, LayerCheck, UnsupportedModelError
from ..floating import FloatGraph
from ..frontends import load_model
from ..frontends.native import save_graph
from ..graph import Conv, Graph, Layer
from ..inputs import load_samples
from ..network import find_config
from ..pipeline import Pipeline
from ..quantise import METHODS, PERCENTILE, quantise
from ..spec.config import CONFIGS
from ..split import runs_on_engine

EXIT_UNSUPPORTED = 1
ON_ENGINE, ON_HOST, NOWHERE = "engine", "host", "nowhere"
N_PROBES = 4  # samples of noise that stand in for calibration when only the fit is checked

ModelFile = Annotated[Path, typer.Argument(help="A network: .tflite, .onnx, .npz with its JSON, .pumf or .pumq.")]


def check(
    model: ModelFile,
    config: Annotated[str, typer.Option(help=f"Engine configuration: {', '.join(CONFIGS)}.")] = "Z7020",
) -> None:
    """List every layer of a network and where it will run; status 1 if some cannot."""
    console = Console()
    try:
        graph = load_model(model)
    except UnsupportedModelError as error:
        if not error.layers:
            raise
        console.print(_unsupported_table(error.layers))
        n_problems = sum(layer.problem is not None for layer in error.layers)
        console.print(f"{n_problems} of {len(error.layers)} operators cannot run", style="bold red")
        raise typer.Exit(EXIT_UNSUPPORTED) from error
    integers = _as_integers(graph)
    console.print(_layer_table(graph, integers))
    try:
        compiled = compile_network(integers, find_config(config))
    except CompileError as error:
        console.print(f"does not fit {config}: {error}", style="bold red", highlight=False)
        raise typer.Exit(EXIT_UNSUPPORTED) from error
    images = compiled.images if isinstance(compiled, Pipeline) else (compiled,)
    cycles, n_bytes = (sum(image.metadata[key] for image in images) for key in ("predicted_cycles", "weight_bytes"))
    parts = f", in {len(images)} parts with host layers between or behind them" if compiled not in images else ""
    console.print(f"fits {config}: {cycles:,} cycles predicted, {n_bytes:,} bytes of weights{parts}")
    if isinstance(graph, FloatGraph):
        console.print(
            "float: weights are counted as int8, where those near zero are zeros; before it runs:",
            f"pumice quantize {model} --calibration samples.npy -o {model.stem}.pumq",
            sep="\n",
            highlight=False,
            soft_wrap=True,
        )


def quantize(
    model: ModelFile,
    calibration: Annotated[Path, typer.Option(help="Typical inputs: .npy, floating point in real units.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The int8 network to write (.pumq).")],
    method: Annotated[str, typer.Option(help=f"Range of activations: {', '.join(METHODS)}.")] = "minmax",
    percentile: Annotated[
        float, typer.Option(help="With --method percentile, the part of the values that the range must hold.")
    ] = PERCENTILE,
    zero_below: Annotated[
        float,
        typer.Option(
            help="Weights below this part of their channel's largest count as zeros; below a "
            "millionth of their layer's largest they always do."
        ),
    ] = 0.0,
    bias_correction: Annotated[
        bool, typer.Option(help="Take the mean rounding error of weights off the biases.")
    ] = True,
    codebook: Annotated[
        int | None,
        typer.Option(help="Let the weights of a layer share this many values; with 16 the engine reads 4 bits each."),
    ] = None,
) -> None:
    """Quantise a float network to int8."""
    graph = load_model(model)
    if not isinstance(graph, FloatGraph):
        raise InputError(f"{model} is int8 already")
    samples = load_samples(calibration, graph)
    integer = quantise(
        graph, samples, method=method, percentile=percentile, zero_below=zero_below, bias_correction=bias_correction,
        codebook=codebook,
    )  # fmt: skip
    save_graph(integer, output)
    weights = [layer.weights for layer in integer.layers if isinstance(layer, Conv)]
    n_weights, n_nonzeros = sum(map(np.size, weights)), sum(map(np.count_nonzero, weights))
    counts = f"{n_nonzeros:,} of {n_weights:,} weights are not zero"
    Console().print(f"{output}: {counts}; calibrated on {len(samples)} samples, {method}")


def _as_integers(graph: Graph | FloatGraph) -> Graph:
    """The graph, or one quantised on noise: whether a network fits depends on its weights."""
    if isinstance(graph, Graph):
        return graph
    noise = np.random.default_rng(0).normal(size=(N_PROBES, *graph.shapes[graph.input])).astype(np.float32)
    return quantise(graph, noise, bias_correction=False)


def _layer_table(graph: Graph | FloatGraph, integers: Graph) -> Table:
    table = plain_table("layer", "kind", "output", "non-zero weights", "runs on")
    for layer, integer in zip(graph.layers, integers.layers, strict=True):
        shape = graph.shapes[layer.output] if isinstance(graph, FloatGraph) else graph.tensors[layer.output].shape
        where = ON_ENGINE if runs_on_engine(integers, integer) else ON_HOST
        table.add_row(layer.name, _kind(layer), "x".join(map(str, shape)), _density(integer), where)
    return table


def _kind(layer: Layer) -> str:
    kind = getattr(layer, "kind", getattr(layer, "mode", None))
    return kind or type(layer).__name__.removeprefix("Float").lower()


def _density(layer: Layer) -> str:
    if not isinstance(layer, Conv):
        return ""
    n_nonzeros = np.count_nonzero(layer.weights)
    return f"{n_nonzeros:,} ({n_nonzeros / layer.weights.size:.0%})"


def _unsupported_table(layers: tuple[LayerCheck, ...]) -> Table:
    table = plain_table("layer", "operator", "runs on", "why not, and what to do")
    for layer in layers:
        table.add_row(layer.name, layer.operator, ON_ENGINE if layer.problem is None else NOWHERE, layer.problem or "")
    return table


def plain_table(*columns: str) -> Table:
    """A table without lines."""
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
