"""Command line: ``pumice run``, ``pumice compile``, ``pumice demo``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..device import DEFAULT_CONFIG, DEVICES, open_device
from ..errors import InputError, ModelError, PumiceError
from ..inputs import load_input
from ..network import Model, load, signature
from ..report import run_report
from ..report.tables import run_table, summary
from ..spec.config import CONFIGS
from .boards import build
from .energy import calibrate, energy
from .finetune import finetune
from .models import check, quantize
from .prune import prune_command

EXIT_ERROR = 2

app = typer.Typer(
    help="Runs pruned int8 networks on a sparse FPGA engine, simulated cycle by cycle on a PC.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ModelPath = Annotated[
    Path, typer.Argument(help="An int8 network (.tflite, .onnx, .pumq), or an image that `pumice compile` wrote.")
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="Weight format of all layers that it suits, e.g. rice:3 or bitmap+huffman; or LAYER=FORMAT, repeatable. "
        "Default: the compiler's choice.",
    ),
]
Config = Annotated[str, typer.Option(help=f"Engine configuration: {', '.join(CONFIGS)}.")]


@app.command()
def run(
    model: ModelPath,
    input: Annotated[Path, typer.Option(help="Samples: .npy, or raw int8 bytes in .dat or .bin.")],
    device: Annotated[str, typer.Option(help=f"Where to run: {', '.join(DEVICES)}.")] = "sim",
    config: Annotated[
        str | None,
        typer.Option(
            help=f"Engine configuration: {', '.join(CONFIGS)}. Default: {DEFAULT_CONFIG}; on a board, its own."
        ),
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report there as JSON.")] = None,
    port: Annotated[str | None, typer.Option(help="Serial port of the board, with --device serial.")] = None,
    formats: Formats = None,
) -> None:
    """Run a network on every sample of a file and report what each layer did."""
    loaded = load(model)
    if formats and not isinstance(loaded, Model):
        raise ModelError(f"{model} is compiled already: its weight formats are fixed")
    samples = load_input(input, signature(loaded))
    options = {} if port is None else {"port": port}
    with open_device(device, config=config, **options) as opened:
        network = opened.load(loaded, formats=_formats(formats))
        results = [network.run(sample) for sample in samples]
    if json_path is not None:
        json_path.write_text(json.dumps(run_report(results), indent=2) + "\n")
    console = Console()
    console.print(run_table(results[0]))
    for i, result in enumerate(results):
        console.print(summary(result) if len(results) == 1 else f"sample {i}: {summary(result)}")


@app.command()
def compile(
    model: ModelPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="The image to write.")],
    config: Config = DEFAULT_CONFIG,
    formats: Formats = None,
) -> None:
    """Compile a network to an image for one engine configuration."""
    loaded = load(model)
    if not isinstance(loaded, Model):
        raise ModelError(f"{model} is compiled already")
    loaded.compile(config, formats=_formats(formats)).save(output)


@app.command()
def demo(config: Config = DEFAULT_CONFIG) -> None:
    """Read handwritten digits with a pruned network on the simulated engine."""
    from .demo import show

    show(Console(), config)


app.command()(build)
app.command()(energy)
app.command()(calibrate)


app.command()(check)
app.command()(quantize)
app.command("prune")(prune_command)
app.command()(finetune)


def _formats(options: list[str] | None) -> dict[str, str] | str | None:
    """What `pumice.compiler.compile_graph` takes."""
    named = [option.rpartition("=") for option in options or ()]
    if named and all(layer for layer, _, _ in named):
        return {layer: text for layer, _, text in named}
    if len(named) > 1:
        raise InputError("--format takes one format for all layers, or LAYER=FORMAT as often as needed")
    return named[0][2] if named else None


def main() -> None:
    """Entry point: mistakes of the user are one sentence on stderr and exit status 2."""
    try:
        app()
    except (PumiceError, OSError) as error:
        print(f"pumice: {error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
