"""An external meter's log, laid beside the host's clock.

A log is a CSV file with a header; one column holds the time in seconds, another one power, or two hold voltage and
current. The meter's clock is another one than the host's: host time = meter time + offset. The offset is given, or
found from bursts of work: the offset at which the log's power follows the bursts best.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import PowerError
from .rails import Rail
from .record import Figures, LoopTimes, Trace

UNITS = {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "V": 1.0, "mV": 1e-3, "uV": 1e-6, "A": 1.0, "mA": 1e-3, "uA": 1e-6}
MIN_CORRELATION = 0.7
"""Of the log's power with the bursts; below it they are not recognised."""


@dataclass(frozen=True, kw_only=True)
class Meter:
    """How a meter writes its log.

    Attributes
    ----------
    name : str
        Make and model, for reports.
    scope : str
        What it is connected to; see `pumice.power.SCOPES`.
    time : str
        Column of the time.
    columns : dict of str to str
        Column and unit (`UNITS`) of power, or of voltage and of current.
    time_unit_s : float
        Seconds in the time column's unit, such as 1e-3.
    """

    name: str
    scope: str
    time: str
    columns: dict[str, str]
    time_unit_s: float = 1.0


def read_meter(
    path: Path,
    meter: Meter,
    loop: LoopTimes,
    *,
    offset_s: float | None = None,
    bursts: Sequence[LoopTimes] = (),
    search_s: float = 60.0,
    idle_s: float = 0.0,
) -> Figures:
    """Figures of a loop from a meter's log.

    Parameters
    ----------
    loop : LoopTimes
        The work, in host time (`loop_times`).
    offset_s : float, optional
        Host time less meter time.
    bursts : sequence of LoopTimes
        Without ``offset_s``: periods of work with idle time between them, to find it by; all are in the log.
    search_s : float
        Largest offset to consider, either way.
    idle_s : float
        Seconds before ``loop`` in which the device was idle; 0: not known.

    Raises
    ------
    PowerError
        The log cannot be read, does not cover the loop, is too coarse for it, or does not show the bursts.
    """
    trace = load_log(path, meter)
    if offset_s is None:
        if not bursts:
            raise PowerError("give the meter's clock offset_s, or bursts of work to find it by")
        offset_s = find_offset(trace, bursts, search_s)
    trace = Trace(times=trace.times + offset_s, watts=trace.watts, n_dropped=trace.n_dropped)
    first, last = loop.start - idle_s, loop.end
    if trace.times[0] > first or trace.times[-1] < last:
        raise PowerError(
            f"{path} covers {trace.times[0]:.3f} s to {trace.times[-1]:.3f} s of host time, the loop took "
            f"{first:.3f} s to {last:.3f} s: wrong log or offset"
        )
    rail = Rail(
        name=meter.name,
        scope=meter.scope,
        kind=f"external meter {meter.name}",
        read=lambda: float(trace.watts[-1]),
        period_s=float(np.median(np.diff(trace.times))),
    )
    idle = trace.energy(first, loop.start) / idle_s if idle_s else None
    return trace.figures(rail, loop.start, loop.end, loop.n_inferences, idle)


def load_log(path: Path, meter: Meter) -> Trace:
    """Power over meter time; lines that lack a number count as dropped. PowerError: see `read_meter`."""
    units = list(meter.columns.values())
    if any(unit not in UNITS for unit in units) or sorted(u[-1] for u in units) not in (["W"], ["A", "V"]):
        raise PowerError(f"a meter gives power, or voltage and current, in {', '.join(UNITS)}; not {units}")
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or ()
            if missing := [name for name in (meter.time, *meter.columns) if name not in names]:
                raise PowerError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}")
            rows = [_numbers(row, meter) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PowerError(f"cannot read {path}: {error}") from error
    good = np.array([row for row in rows if row is not None], float).reshape(-1, 1 + len(units))
    times = good[:, 0] * meter.time_unit_s
    if len(times) < 2 or np.any(np.diff(times) <= 0):
        raise PowerError(f"{path}: times must ascend and be at least two, not {len(times)}")
    watts = good[:, 1:].prod(axis=1)
    return Trace(times=times, watts=watts, n_dropped=len(rows) - len(good))


def _numbers(row: dict[str, str], meter: Meter) -> list[float] | None:
    """Time, and each column in watts, volts or amperes; nothing where one is no number."""
    try:
        values = [float(row[meter.time]), *(float(row[c]) * UNITS[unit] for c, unit in meter.columns.items())]
    except (TypeError, ValueError):
        return None
    return values if np.all(np.isfinite(values)) else None


def find_offset(trace: Trace, bursts: Sequence[LoopTimes], search_s: float) -> float:
    """Host time less meter time, to the spacing of the log's samples.

    Raises
    ------
    PowerError
        The log's power does not follow the bursts at any offset, or at several equally well.
    """
    step = float(np.median(np.diff(trace.times)))
    offsets = np.arange(-search_s, search_s + step, step)
    power = trace.watts - trace.watts.mean()
    fits = np.zeros(len(offsets))
    for i, offset in enumerate(offsets):
        host = trace.times + offset
        busy = sum(((host >= burst.start) & (host <= burst.end)).astype(float) for burst in bursts)
        marker = busy - np.mean(busy)
        norm = np.sqrt(np.sum(power**2) * np.sum(marker**2))
        fits[i] = np.sum(power * marker) / norm if norm else 0.0
    best = int(np.argmax(fits))
    # Nearer than the shortest burst the fit falls off gently; beyond that, one as good means that it is not unique.
    shortest = min(burst.end - burst.start for burst in bursts)
    rivals = fits[np.abs(offsets - offsets[best]) > shortest]
    if fits[best] < MIN_CORRELATION or (len(rivals) and rivals.max() > 0.95 * fits[best]):
        raise PowerError(
            f"the meter's log does not show the bursts: correlation {fits[best]:.2f} at best, at offset "
            f"{offsets[best]:.3f} s; use a few bursts of unequal length, each of many samples, with idle time between"
        )
    return float(offsets[best])
