"""Tables and sentences on modelled energy for a terminal; each says that it is modelled."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table

from ..energy.calibrate import Fit
from ..energy.model import BATCH_SIZES, COMPONENTS, EnergyReport

UNITS = (("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9))
WIDE = 120
"""Columns of a terminal from which on layers and components go into one table."""


def unit_of(joules: float) -> tuple[str, float]:
    """Name and joules of the unit in which an energy has two digits or more before the point, if there is one."""
    return next((unit for unit in UNITS if joules >= 10 * unit[1]), UNITS[-1])


def used_components(reports: Iterable[EnergyReport | None]) -> list[str]:
    """Components that any of the reports has energy of."""
    totals = [report.total.components for report in reports if report]
    return [name for name in COMPONENTS if any(total[name] for total in totals)]


def energy_tables(report: EnergyReport, dense: EnergyReport | None = None, *, width: int = WIDE) -> list[Table]:
    """Energy by layer and component, and over batch sizes; with ``dense``, what the same takes without skipping zeros.

    In a terminal of fewer columns than `WIDE`, layers and components have a table each.
    """
    unit, scale = unit_of(report.total.joules)
    title = f"{report.kind} energy of one inference, {unit}: coefficients {report.coefficients.name}, "
    title += f"activity {report.backend}, {report.config} at {report.clock_mhz:g} MHz"
    names = used_components([report, dense])
    totals = ["total", *(["dense", "ratio"] if dense else [])]

    def compared(energy: float, slow: float | None) -> list[str]:
        ratio = f"{slow / energy:.2f}x" if slow is not None and energy else ""
        return [f"{energy / scale:,.1f}", *([f"{slow / scale:,.1f}", ratio] if slow is not None else [])]

    def add_layers(table: Table, components: Sequence[str]) -> Table:
        rows = {name: (energy, dense and dense.layers[name]) for name, energy in report.layers.items()}
        for name, (energy, slow) in rows.items():
            parts = [f"{energy.components[each] / scale:,.1f}" for each in components]
            table.add_row(name, *parts, *compared(energy.joules, slow and slow.joules))
        table.add_section()
        parts = [f"{report.total.components[each] / scale:,.1f}" for each in components]
        table.add_row("total", *parts, *compared(report.total.joules, dense and dense.total.joules), style="bold")
        return table

    if width >= WIDE:
        return [add_layers(_table(title, "layer", [*names, *totals]), names), _batches(report, dense)]
    by_component = _table(f"the same by component, {unit}", "component", totals)
    for name in names:
        slow = dense and dense.total.components[name]
        by_component.add_row(name, *compared(report.total.components[name], slow))
    return [add_layers(_table(title, "layer", totals), []), by_component, _batches(report, dense)]


def energy_summary(report: EnergyReport) -> str:
    """What the coefficients are, totals and power in a few lines."""
    kind = report.kind
    unit, scale = unit_of(report.total.joules)
    lines = [
        report.coefficients.description,
        "",
        f"{report.total.joules / scale:,.4g} {unit} an inference ({kind}), the mean of {report.n_samples}, "
        f"{report.latency_s * 1e3:.4g} ms ({report.backend});",
        f"{report.average_w:.4g} W on average, {report.peak_w:.4g} W in the costliest layer ({kind}).",
    ]
    if report.coefficients.has_placeholders:
        lines.insert(0, "The coefficients are placeholders: not for quoting.")
    return "\n".join(lines)


def energy_of_answers(report: EnergyReport, accuracy: float, n_samples: int) -> str:
    """Accuracy, and what a correct answer costs."""
    unit, scale = unit_of(report.total.joules)
    cost = f"{report.total.joules / accuracy / scale:,.4g} {unit} a correct answer ({report.kind})" if accuracy else ""
    return f"Accuracy {accuracy:.2%} on {n_samples} samples: {cost or 'no answer is correct'}."


def fit_table(fit: Fit) -> Table:
    """Coefficients in picojoules, and how well they fit."""
    title = (
        f"{len(fit.errors)} runs; error {fit.rms_error:.2%} rms, {fit.largest_error:.2%} at most; the runs determine "
        f"{fit.rank} of {fit.n_fitted} coefficients"
    )
    table = _table(title, "event", ["pJ"])
    table.add_column("source")
    for event, value in fit.coefficients.values.items():
        table.add_row(event, f"{value.pj:.4g}", value.source)
    return table


def _batches(report: EnergyReport, dense: EnergyReport | None) -> Table:
    unit, scale = unit_of(report.total.joules)
    loads = "once a batch" if report.n_images == 1 else "for each inference"
    title = f"{report.kind} energy of an inference, {unit}, with the weights loaded {loads}"
    table = _table(title, "batch size", [str(n) for n in BATCH_SIZES])
    reports: Mapping[str, EnergyReport | None] = {"sparse": report, "dense": dense}
    for name, each in reports.items():
        if each is not None:
            table.add_row(name, *(f"{each.batch(n) / scale:,.1f}" for n in BATCH_SIZES))
    return table


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="right")
    return table
