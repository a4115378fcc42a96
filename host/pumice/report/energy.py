"""Tables and sentences on modelled energy for a terminal; each says that it is modelled."""

from rich import box
from rich.table import Table

from ..energy.calibrate import Fit
from ..energy.model import BATCH_SIZES, COMPONENTS, EnergyReport


def energy_table(report: EnergyReport, dense: EnergyReport | None = None) -> Table:
    """Microjoules by layer and component; with ``dense``, what the same layer takes without skipping zeros."""
    title = f"{report.kind} energy of one inference, microjoules: coefficients {report.coefficients.name}, "
    title += f"activity {report.backend}, {report.config} at {report.clock_mhz:g} MHz"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("layer")
    for name in (*COMPONENTS, "total", *(["dense", "ratio"] if dense else [])):
        table.add_column(name, justify="right")

    def add(name: str, energy, slow, **style) -> None:
        cells = [*energy.components.values(), energy.joules, *([slow.joules] if slow else [])]
        ratio = [f"{slow.joules / energy.joules:.2f}x" if energy.joules else ""] if slow else []
        table.add_row(name, *(f"{joules * 1e6:.4g}" for joules in cells), *ratio, **style)

    for name, energy in report.layers.items():
        add(name, energy, dense and dense.layers[name])
    table.add_section()
    add("total", report.total, dense and dense.total, style="bold")
    return table


def energy_summary(report: EnergyReport) -> str:
    """Totals, power and batches in a few lines."""
    kind = report.kind
    batches = ", ".join(f"{n}: {report.batch(n) * 1e6:.4g}" for n in BATCH_SIZES)
    lines = [
        report.coefficients.description,
        f"{report.total.joules * 1e6:.4g} uJ an inference ({kind}), mean of {report.n_samples}; "
        f"{report.latency_s * 1e3:.4g} ms ({report.backend}); {report.average_w:.4g} W on average, "
        f"{report.peak_w:.4g} W in the costliest layer ({kind}).",
        f"Batch size: uJ an inference with the weights loaded once for the batch ({kind}): {batches}",
    ]
    if report.coefficients.has_placeholders:
        lines.insert(0, "The coefficients are placeholders: not for quoting.")
    return "\n".join(lines)


def fit_table(fit: Fit) -> Table:
    """Coefficients in picojoules, and how well they fit."""
    title = (
        f"{len(fit.errors)} runs; error {fit.rms_error:.2%} rms, {fit.largest_error:.2%} at most; the runs determine "
        f"{fit.rank} of {fit.n_fitted} coefficients"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("event")
    table.add_column("pJ", justify="right")
    table.add_column("source")
    for event, value in fit.coefficients.values.items():
        table.add_row(event, f"{value.pj:.4g}", value.source)
    return table
