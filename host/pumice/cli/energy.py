"""``pumice energy`` and ``pumice calibrate``."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from ..device import DEVICES, Device, open_device
from ..device.driver import EngineRun
from ..energy.calibrate import calibrate as fit_coefficients
from ..energy.calibrate import load_runs
from ..energy.coefficients import SHIPPED, Coefficients, load_coefficients
from ..energy.model import EnergyReport, estimate
from ..errors import InputError
from ..image import Image
from ..inputs import load_input
from ..network import Model, load, signature
from ..report.energy import energy_of_answers, energy_summary, energy_tables, fit_table
from ..report.energy_plot import plot_energy
from ..spec.config import CONFIGS

CoefficientsName = Annotated[str, typer.Option(help=f"Coefficients: {', '.join(SHIPPED)}, or a JSON file.")]


def energy(
    model: Annotated[Path, typer.Argument(help="An int8 network, or an image that `pumice compile` wrote.")],
    input: Annotated[Path, typer.Option(help="Samples: .npy, or raw int8 bytes in .dat or .bin.")],
    coefficients: CoefficientsName = "45nm",
    device: Annotated[str, typer.Option(help=f"What counts activity: {', '.join(DEVICES)}.")] = "sim",
    config: Annotated[str, typer.Option(help=f"Engine configuration: {', '.join(CONFIGS)}.")] = "Z7020",
    labels: Annotated[Path | None, typer.Option(help="Classes of the samples, .npy: adds accuracy.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the disclosure there.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw to this file (.png, .svg, .pdf).")] = None,
) -> None:
    """Model the energy of a network by layer and component, against a dense run, over batch sizes; not measured."""
    prices = load_coefficients(coefficients)
    loaded = load(model)
    samples = load_input(input, signature(loaded))
    with open_device(device, config=config) as opened:
        report, classes = _estimate(opened, loaded, samples, prices)
        # The dense run's energy hardly depends on the sample: one is enough.
        dense = _estimate(opened, loaded, samples[:1], prices, dense=True)[0] if isinstance(loaded, Model) else None
    document = report.to_json() | {"dense": dense and dense.to_json()}
    console = Console()
    for table in energy_tables(report, dense, width=console.width):
        console.print(table)
    console.print(energy_summary(report), highlight=False)
    accuracy = None
    if labels is not None:
        accuracy = float(np.mean(classes == _load_labels(labels, len(samples))))
        per_correct = report.total.joules / accuracy if accuracy else None
        document |= {"accuracy": accuracy, "energy_per_correct_j": per_correct}
        console.print(energy_of_answers(report, accuracy, len(samples)), highlight=False)
    if json_path is not None:
        json_path.write_text(json.dumps(document, indent=2) + "\n")
    if plot is not None:
        plot_energy(report, plot, dense, accuracy)


def calibrate(
    runs: Annotated[Path, typer.Argument(help="Activities and measured joules of runs: .csv, or .json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the fitted coefficients go, JSON.")],
    source: Annotated[str, typer.Option(help="What was measured: board, rail, engine; goes with every number.")],
    coefficients: CoefficientsName = "board",
) -> None:
    """Fit energy coefficients to measured runs and say how well they fit."""
    fit = fit_coefficients(
        load_runs(runs), load_coefficients(coefficients), source=source, date=date.today().isoformat()
    )
    output.write_text(json.dumps(fit.coefficients.to_json(), indent=2) + "\n")
    Console().print(fit_table(fit))


def _estimate(
    device: Device, model, samples: np.ndarray, prices: Coefficients, *, dense: bool = False
) -> tuple[EnergyReport, np.ndarray]:
    """Modelled energy, and the class that each sample got."""
    network = device.load(model, dense=dense)
    runs: list[tuple[Image, bytes, EngineRun]] = []
    with device.observe(lambda *run: runs.append(run)):
        classes = np.array([network.run(sample).top1 for sample in samples])
    return estimate(runs, device.config, prices, backend=device.kind), classes


def _load_labels(path: Path, n: int) -> np.ndarray:
    try:
        values = np.load(path).reshape(-1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read labels {path}: {error}") from error
    if len(values) != n:
        raise InputError(f"{path} holds {len(values)} labels for {n} samples")
    return values
