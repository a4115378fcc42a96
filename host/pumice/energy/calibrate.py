"""Fits coefficients to measured energies: non-negative least squares over a set of runs."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import EnergyError
from .activity import ACTIVITIES, Activity
from .coefficients import Coefficient, Coefficients


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """Activity of some work, and the joules that a rail or meter gave for it."""

    activity: Activity
    joules: float


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


def load_runs(path: Path) -> list[MeasuredRun]:
    """Runs from a file.

    Parameters
    ----------
    path : Path
        ``.json``: a list of objects with ``joules`` and ``activities`` (as `pumice energy --json` writes them, times
        the inferences). ``.csv``: a column ``joules`` and one for each event; events without a column are 0.

    Raises
    ------
    EnergyError
        The file cannot be read, a number is missing, negative or not one, or an event is unknown.
    """
    try:
        if path.suffix == ".json":
            rows = [run["activities"] | {"joules": run["joules"]} for run in json.loads(path.read_text())]
        else:
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
    except OSError as error:
        raise EnergyError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EnergyError(f"{path}: expected a list of runs with activities and joules: {error}") from error
    return [_measured_run(row, f"{path}, run {i}") for i, row in enumerate(rows, 1)]


def calibrate(runs: Sequence[MeasuredRun], start: Coefficients, *, source: str, date: str) -> Fit:
    """Fit the coefficients of all events that occur in ``runs``; relative errors are minimised.

    Parameters
    ----------
    start : Coefficients
        Numbers of the events that do not occur.
    source, date : str
        What was measured, and when: goes with every fitted number.

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
    if unknown := sorted(str(name) for name in set(row) - set(ACTIVITIES) - {"joules"}):
        raise EnergyError(f"{where}: unknown event {', '.join(unknown)}; there are {', '.join(ACTIVITIES)}")
    try:
        numbers = {name: float(value) for name, value in row.items()}
        joules = numbers.pop("joules")
    except (KeyError, TypeError, ValueError) as error:
        raise EnergyError(f"{where}: expected joules and the number of each event: {error}") from error
    if not (np.isfinite(joules) and joules > 0) or any(not np.isfinite(n) or n < 0 for n in numbers.values()):
        raise EnergyError(f"{where}: joules must be positive and no event's number negative")
    return MeasuredRun(activity=Activity(**numbers), joules=joules)
