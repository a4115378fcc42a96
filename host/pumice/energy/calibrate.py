"""Fits coefficients to measured energies: non-negative least squares over a set of runs."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EnergyError
from .activity import ACTIVITIES, Activity
from .coefficients import Coefficient, Coefficients
from .model import KIND, EnergyReport

if TYPE_CHECKING:
    from ..power import Figures


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """Activity of some work, and the joules that a rail or meter gave for it.

    ``kind`` and ``scope`` are those of the figure (`pumice.power.Figures`); empty where they are not known.
    """

    activity: Activity
    joules: float
    kind: str = ""
    scope: str = ""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Coefficients and how well they explain the runs.

    Attributes
    ----------
    coefficients : Coefficients
    errors : tuple of float
        Of each run: modelled over measured energy, less 1.
    rank : int
        Directions that the runs determine; below ``n_fitted`` some coefficients trade against each other and only
        their sums over such runs mean something.
    n_fitted : int
        Coefficients that were fitted; events that never occur keep their numbers.
    """

    coefficients: Coefficients
    errors: tuple[float, ...]
    rank: int
    n_fitted: int

    @property
    def rms_error(self) -> float:
        """Root mean square of ``errors``."""
        return float(np.sqrt(np.mean(np.square(self.errors))))

    @property
    def largest_error(self) -> float:
        """Largest magnitude of ``errors``."""
        return float(np.max(np.abs(self.errors)))


def measured_run(figures: "Figures", report: EnergyReport) -> MeasuredRun:
    """A recording of a loop beside the activity of its inferences.

    The rail's clocks and soft core run for all of the recording, between inferences too: so do those of the activity.

    Parameters
    ----------
    figures : Figures
        Of a sensor or a meter.
    report : EnergyReport
        Of the same network on the same device; its coefficients do not matter.

    Raises
    ------
    EnergyError
        The figures are modelled, or of no inference.
    """
    if figures.kind.startswith(KIND):
        raise EnergyError(f"a model is not calibrated with its own figures: these are {figures.kind}")
    if not figures.n_inferences:
        raise EnergyError("no inference ran while this was recorded: it cannot calibrate anything")
    cycles = figures.duration_s * report.clock_mhz * 1e6
    work = report.total.activity / (1 / figures.n_inferences)
    activity = replace(work, cycles=cycles, soft_core_cycles=cycles)
    return MeasuredRun(activity=activity, joules=figures.energy_j, kind=figures.kind, scope=figures.scope)


def save_runs(path: Path, runs: Sequence[MeasuredRun]) -> None:
    """Write runs as JSON for `load_runs`."""
    entries = [{name: value for name, value in asdict(run).items() if name != "activity"} for run in runs]
    for entry, run in zip(entries, runs, strict=True):
        entry["activities"] = asdict(run.activity)
    path.write_text(json.dumps(entries, indent=2) + "\n")


def load_runs(path: Path) -> list[MeasuredRun]:
    """Runs from a file.

    Parameters
    ----------
    path : Path
        ``.json``: as `save_runs` writes it, a list of objects with ``joules``, ``activities`` and, if known, ``kind``
        and ``scope``. ``.csv``: a column ``joules`` and one for each event; events without a column are 0.

    Raises
    ------
    EnergyError
        The file cannot be read, a number is missing, negative or not one, an event is unknown, or the runs' kinds
        differ.
    """
    about = ("kind", "scope")
    try:
        if path.suffix == ".json":
            runs = json.loads(path.read_text())
            rows = [r["activities"] | {name: r[name] for name in ("joules", *about) if name in r} for r in runs]
        else:
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
    except OSError as error:
        raise EnergyError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EnergyError(f"{path}: expected a list of runs with activities and joules: {error}") from error
    runs = [_measured_run(row, f"{path}, run {i}") for i, row in enumerate(rows, 1)]
    if len(kinds := {(run.kind, run.scope) for run in runs}) > 1:
        named = "; ".join(sorted(f"{kind or 'unknown'} ({scope or 'unknown'})" for kind, scope in kinds))
        raise EnergyError(f"{path}: the runs are figures of different kinds: {named}")
    return runs


def calibrate(runs: Sequence[MeasuredRun], start: Coefficients, *, source: str, date: str) -> Fit:
    """Fit the coefficients of all events that occur in ``runs``; relative errors are minimised.

    Parameters
    ----------
    start : Coefficients
        Numbers of the events that do not occur.
    source, date : str
        What was measured, and when: goes with every fitted number, as do the runs' kind and scope.

    Raises
    ------
    EnergyError
        No run, or SciPy is not installed.
    """
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise EnergyError("calibration needs SciPy: pip install 'pumice[energy]'") from None
    if not runs:
        raise EnergyError("calibration needs at least one run")
    source = "; ".join([source, *sorted({f"{run.kind}, {run.scope}" for run in runs if run.kind})])
    joules = np.array([run.joules for run in runs])
    counts = np.array([[asdict(run.activity)[event] for event in ACTIVITIES] for run in runs], float)
    occurs = counts.any(axis=0)
    relative = counts[:, occurs] * 1e-12 / joules[:, None]  # each run explains 1 of its own energy
    scale = relative.max(axis=0)
    solution, _ = nnls(relative / scale, np.ones(len(runs)))
    fitted = dict(zip(np.array(list(ACTIVITIES))[occurs], solution / scale, strict=True))
    values = start.values | {
        str(event): Coefficient(pj=float(pj), source=source, date=date) for event, pj in fitted.items()
    }
    return Fit(
        coefficients=Coefficients(name=start.name, description=f"Fitted: {source}", values=values),
        errors=tuple((relative / scale @ solution - 1).tolist()),
        rank=int(np.linalg.matrix_rank(relative / scale)),
        n_fitted=int(occurs.sum()),
    )


def _measured_run(row: dict, where: str) -> MeasuredRun:
    row = dict(row)
    kind, scope = (str(row.pop(name, "")) for name in ("kind", "scope"))
    if kind.startswith(KIND):
        raise EnergyError(f"{where}: a model is not calibrated with figures of a model: {kind}")
    if unknown := sorted(str(name) for name in set(row) - set(ACTIVITIES) - {"joules"}):
        raise EnergyError(f"{where}: unknown event {', '.join(unknown)}; there are {', '.join(ACTIVITIES)}")
    try:
        numbers = {name: float(value) for name, value in row.items()}
        joules = numbers.pop("joules")
    except (KeyError, TypeError, ValueError) as error:
        raise EnergyError(f"{where}: expected joules and the number of each event: {error}") from error
    if not (np.isfinite(joules) and joules > 0) or any(not np.isfinite(n) or n < 0 for n in numbers.values()):
        raise EnergyError(f"{where}: joules must be positive and no event's number negative")
    return MeasuredRun(activity=Activity(**numbers), joules=joules, kind=kind, scope=scope)
