"""Pictures of modelled energy; they need Matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..energy.model import BATCH_SIZES, COMPONENTS, EnergyReport
from ..errors import EnergyError
from .energy import energy_of_answers, unit_of, used_components

NAME_LENGTH = 28  # of a layer; longer names would leave no room for the bars
_COLOURS = {name: f"C{i}" for i, name in enumerate(COMPONENTS)}


def plot_energy(
    report: EnergyReport, path: Path, dense: EnergyReport | None = None, accuracy: float | None = None
) -> None:
    """Write a picture: energy by layer and component, the whole network beside its dense run, batch sizes.

    Raises
    ------
    EnergyError
        Matplotlib is not installed, or does not know the kind of file.
    """
    figure = _figure(13, 3.4 + 0.28 * len(report.layers))
    by_layer, by_network, by_batch = figure.subplots(1, 3, width_ratios=(5, 2, 3))
    unit, scale = unit_of(report.total.joules)
    label, components = f"{unit}, {report.kind}", used_components([report, dense])
    _stack(by_layer, {name: e.components for name, e in report.layers.items()}, components, scale, horizontal=True)
    by_layer.set(title="by layer", xlabel=label)
    by_layer.invert_yaxis()
    networks = {"sparse": report} | ({"dense": dense} if dense else {})
    _stack(by_network, {n: e.total.components for n, e in networks.items()}, components, scale, horizontal=False)
    by_network.set(title="one inference", ylabel=label)
    for place, each in enumerate(networks.values()):
        joules = each.total.joules
        times = f"\n{joules / report.total.joules:.2f}x" if each is dense else ""
        by_network.annotate(
            f"{joules / scale:,.4g}{times}", (place, joules / scale), ha="center", va="bottom", xytext=(0, 2),
            textcoords="offset points",
        )  # fmt: skip
    for name, each in networks.items():
        by_batch.plot(BATCH_SIZES, [each.batch(n) / scale for n in BATCH_SIZES], marker="o", label=name)
    by_batch.set_xscale("log", base=2)
    by_batch.set_xticks(BATCH_SIZES, [str(n) for n in BATCH_SIZES])
    by_batch.set_ylim(bottom=0)
    loads = "once a batch" if report.n_images == 1 else "for each inference"
    by_batch.set(title=f"weights loaded {loads}", xlabel="batch size", ylabel=f"{unit} an inference, {report.kind}")
    by_batch.legend()
    for axes in (by_layer, by_network, by_batch):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*by_layer.get_legend_handles_labels(), loc="outside lower center", ncols=9, frameon=False)
    warning = ", PLACEHOLDERS: not for quoting" if report.coefficients.has_placeholders else ""
    lines = [
        f"{report.model} on {report.config}: {report.kind} energy, coefficients {report.coefficients.name}{warning}, "
        f"activity {report.backend}"
    ]
    if accuracy is not None:
        lines.append(energy_of_answers(report, accuracy, report.n_samples))
    figure.suptitle("\n".join(lines))
    _save(figure, path)


def plot_accuracy(curves: Mapping[str, Sequence[tuple[EnergyReport, float]]], path: Path) -> None:
    """Write a picture: accuracy over energy of an inference, a curve a name. EnergyError: see `plot_energy`.

    Parameters
    ----------
    curves : mapping of str to sequence of (EnergyReport, float)
        Reports of networks and their accuracies, 0 to 1.
    """
    figure = _figure(6.4, 4.4)
    axes = figure.subplots()
    reports = [report for points in curves.values() for report, _ in points]
    unit, scale = unit_of(max(report.total.joules for report in reports))
    for name, points in curves.items():
        axes.plot([r.total.joules / scale for r, _ in points], [100 * a for _, a in points], marker="o", label=name)
    about = "; ".join(sorted({f"coefficients {r.coefficients.name}, activity {r.backend}" for r in reports}))
    axes.set(xlabel=f"{unit} an inference, {reports[0].kind} ({about})", ylabel="accuracy, %")
    axes.set_xlim(0, 1.05 * max(report.total.joules for report in reports) / scale)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right")
    _save(figure, path)


def _figure(width: float, height: float):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EnergyError("plots need Matplotlib: pip install 'pumice[energy]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        raise EnergyError(f"cannot draw to {path}: {error}") from error


def _stack(
    axes, bars: Mapping[str, Mapping[str, float]], components: Sequence[str], scale: float, *, horizontal: bool
) -> None:
    starts, places = [0.0] * len(bars), list(range(len(bars)))  # not by name: shortened ones may be equal
    for component in components:
        lengths = [bar[component] / scale for bar in bars.values()]
        draw, start = (axes.barh, "left") if horizontal else (axes.bar, "bottom")
        draw(places, lengths, color=_COLOURS[component], label=component, **{start: starts})
        starts = [a + b for a, b in zip(starts, lengths, strict=True)]
    names = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in bars]
    (axes.set_yticks if horizontal else axes.set_xticks)(places, names)
    (axes.set_xlim if horizontal else axes.set_ylim)(0, 1.12 * max(starts) or 1)
