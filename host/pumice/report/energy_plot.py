"""A picture of modelled energy; needs matplotlib."""

from pathlib import Path

from ..energy.model import BATCH_SIZES, COMPONENTS, EnergyReport
from ..errors import EnergyError

NAME_LENGTH = 28  # of a layer; longer names would leave no room for the bars


def plot_energy(report: EnergyReport, path: Path, dense: EnergyReport | None = None) -> None:
    """Write a picture: energy by layer and component, the whole network beside its dense run, batch sizes.

    Raises
    ------
    EnergyError
        Matplotlib is not installed, or does not know the kind of file.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EnergyError("plots need Matplotlib: pip install 'pumice[energy]'") from None
    figure = Figure(figsize=(13, 3.2 + 0.28 * len(report.layers)), layout="constrained")
    by_layer, by_network, by_batch = figure.subplots(1, 3, width_ratios=(5, 2, 3))
    _stack(by_layer, {name: energy.components for name, energy in report.layers.items()}, horizontal=True)
    by_layer.set_title("by layer")
    by_layer.invert_yaxis()
    networks = {"sparse": report.total.components} | ({"dense": dense.total.components} if dense else {})
    _stack(by_network, networks, horizontal=False)
    by_network.set_title("one inference")
    for name, each in {"sparse": report, "dense": dense}.items():
        if each is not None:
            by_batch.plot(BATCH_SIZES, [each.batch(n) * 1e6 for n in BATCH_SIZES], marker="o", label=name)
    by_batch.set_xscale("log", base=2)
    by_batch.set_xticks(BATCH_SIZES, [str(n) for n in BATCH_SIZES])
    by_batch.set_ylim(bottom=0)
    by_batch.set(title="weights loaded once a batch", xlabel="batch size", ylabel=f"uJ an inference, {report.kind}")
    by_batch.legend()
    figure.legend(*by_layer.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    warning = ", PLACEHOLDERS: not for quoting" if report.coefficients.has_placeholders else ""
    figure.suptitle(
        f"{report.model} on {report.config}: {report.kind} energy, coefficients {report.coefficients.name}{warning}, "
        f"activity {report.backend}"
    )
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        raise EnergyError(f"cannot draw to {path}: {error}") from error


def _stack(axes, bars: dict[str, dict[str, float]], *, horizontal: bool) -> None:
    label = "uJ, modelled"
    starts, places = [0.0] * len(bars), list(range(len(bars)))  # not by name: shortened ones may be equal
    for k, component in enumerate(COMPONENTS):
        lengths = [components[component] * 1e6 for components in bars.values()]
        draw, start = (axes.barh, "left") if horizontal else (axes.bar, "bottom")
        draw(places, lengths, color=f"C{k}", label=component, **{start: starts})
        starts = [a + b for a, b in zip(starts, lengths, strict=True)]
    (axes.set_xlabel if horizontal else axes.set_ylabel)(label)
    names = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in bars]
    (axes.set_yticks if horizontal else axes.set_xticks)(places, names)
    (axes.set_xlim if horizontal else axes.set_ylim)(0, 1.05 * max(starts) or 1)
