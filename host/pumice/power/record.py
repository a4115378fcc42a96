"""Recordings: power sampled while work is done, and what follows from the samples."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PowerError
from .rails import SCOPES, Rail

if TYPE_CHECKING:
    from ..device import Device

MIN_SAMPLES = 10
"""Good samples that a figure needs."""
LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a recording tells.

    Attributes
    ----------
    rail, scope, kind : str
        Of the `Rail`.
    energy_j, duration_s : float
        Total energy of the work, and how long it took; modelled ones of the engine alone.
    peak : float
        Largest power, in watts.
    idle : float, optional
        Power before the work, in watts.
    n_samples, n_dropped : int
        Values that this rests on, and readings that failed.
    n_inferences : int
    """

    rail: str
    scope: str
    kind: str
    energy_j: float
    duration_s: float
    peak: float
    idle: float | None
    n_samples: int
    n_dropped: int
    n_inferences: int

    @property
    def average(self) -> float:
        """Energy over duration, in watts."""
        return self.energy_j / self.duration_s

    @property
    def energy_above_idle_j(self) -> float | None:
        """Energy beyond what idling as long takes; None where idle power is not known."""
        return None if self.idle is None else self.energy_j - self.idle * self.duration_s

    @property
    def energy_per_inference(self) -> float:
        """Joules, idle power included."""
        return self.energy_j / self._inferences()

    @property
    def energy_above_idle_per_inference(self) -> float | None:
        """Joules of ``energy_above_idle_j``."""
        return None if self.energy_above_idle_j is None else self.energy_above_idle_j / self._inferences()

    def to_json(self) -> dict[str, Any]:
        """Plain data: every attribute and property by its name, with units in watts, joules and seconds."""
        done = self.n_inferences > 0
        return asdict(self) | {
            "average": self.average,
            "energy_above_idle_j": self.energy_above_idle_j,
            "energy_per_inference": self.energy_per_inference if done else None,
            "energy_above_idle_per_inference": self.energy_above_idle_per_inference if done else None,
        }

    def __str__(self) -> str:
        above = ""
        if self.n_inferences and self.energy_above_idle_per_inference is not None:
            above = f" ({self.energy_above_idle_per_inference:.4g} J above idle)"
        each = f"{self.energy_per_inference:.4g} J an inference{above}, " if self.n_inferences else ""
        return (
            f"{each}{self.average:.4g} W on average, {self.peak:.4g} W peak; {self.kind}, {self.scope}; "
            f"{self.n_samples} samples in {self.duration_s:.4g} s"
        )

    def _inferences(self) -> int:
        if not self.n_inferences:
            raise PowerError("no inference ran on the device while this was recorded")
        return self.n_inferences


class Recording:
    """Stands for its `Figures` once the context that made it has ended: their attributes are its own."""

    def __init__(self):
        self._figures: Figures | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._figures is None:
            raise PowerError("the recording has no figures before its context has ended well")
        return getattr(self._figures, name)

    def __str__(self) -> str:
        return str(self._figures)

    def finish(self, figures: Figures) -> None:
        """Make the figures known."""
        self._figures = figures


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Samples of power; linear between them, constant before the first and after the last.

    Attributes
    ----------
    times : ndarray of float64, (n,)
        Seconds, ascending.
    watts : ndarray of float64, (n,)
    n_dropped : int
        Readings that failed.
    """

    times: np.ndarray
    watts: np.ndarray
    n_dropped: int = 0

    def energy(self, start: float, end: float) -> float:
        """Joules from ``start`` to ``end``."""
        inside = self._inside(start, end)
        ends = np.interp([start, end], self.times, self.watts)
        times = np.concatenate(([start], self.times[inside], [end]))
        watts = np.concatenate((ends[:1], self.watts[inside], ends[1:]))
        return float(np.sum(np.diff(times) * (watts[1:] + watts[:-1]) / 2))

    def figures(self, rail: Rail, start: float, end: float, n_inferences: int, idle: float | None) -> Figures:
        """Figures of the work from ``start`` to ``end``.

        Raises
        ------
        PowerError
            Too short for the rail, or too few readings.
        """
        inside = self._inside(start, end)
        n_samples, duration = int(np.count_nonzero(inside)), end - start
        needed = (MIN_SAMPLES + 1) * rail.period_s
        if duration < needed or n_samples < MIN_SAMPLES:
            more = f": about {math.ceil(n_inferences * needed / duration)} inferences" if n_inferences else ""
            raise PowerError(
                f"{n_samples} samples in {duration:.3g} s ({self.n_dropped} readings failed) are too few; {rail.name} "
                f"gives a value each {rail.period_s:.3g} s: the loop must last at least {needed:.3g} s{more}"
            )
        return Figures(
            rail=rail.name,
            scope=rail.scope,
            kind=rail.kind,
            energy_j=self.energy(start, end),
            duration_s=duration,
            peak=float(self.watts[inside].max()),
            idle=idle,
            n_samples=n_samples,
            n_dropped=self.n_dropped,
            n_inferences=n_inferences,
        )

    def _inside(self, start: float, end: float) -> np.ndarray:
        return (self.times >= start) & (self.times <= end)


def sample(rail: Rail, clock: Callable[[], float], wait: Callable[[float], bool], limit_s: float) -> Trace:
    """Read a rail each period until ``wait`` says that it is enough, and once more then.

    Parameters
    ----------
    clock : callable
        Seconds now.
    wait : callable
        Waits for some seconds, less if it is to stop; returns whether it is.
    limit_s : float
        Give up after so many seconds.

    Raises
    ------
    PowerError
        The limit has passed, or no reading succeeded.
    """
    begin = clock()
    times, watts, n_dropped, stopping = [], [], 0, False
    while True:
        now = clock()
        if now - begin > limit_s:
            raise PowerError(f"recording of {rail.name} ended at its limit of {limit_s:g} s: give a larger limit_s")
        try:
            value = rail.read()
        except OSError:
            value = math.nan
        if math.isfinite(value):
            times.append(now)
            watts.append(value)
        else:
            n_dropped += 1
        if stopping:
            break
        stopping = wait(rail.period_s)
    if not times:
        raise PowerError(f"none of {n_dropped} readings of {rail.name} succeeded")
    return Trace(times=np.array(times), watts=np.array(watts), n_dropped=n_dropped)


class MeasuredPower:
    """Power of a device by its sensors.

    Attributes
    ----------
    rails : tuple of Rail
    """

    def __init__(self, device: "Device", rails: Sequence[Rail], *, clock: Callable[[], float] = time.monotonic):
        self.rails = tuple(rails)
        self._device, self._clock = device, clock

    @contextmanager
    def record(
        self, rail: str | None = None, *, idle_s: float | None = None, limit_s: float = LIMIT_S
    ) -> Iterator[Recording]:
        """Measure what is done in the context; its recording has figures once it has ended.

        Parameters
        ----------
        rail : str, optional
            Name of the rail; default: the one that covers most.
        idle_s : float, optional
            Seconds to measure the idle device before; default: what the rail needs; 0: do not.
        limit_s : float
            Longest recording.

        Raises
        ------
        PowerError
            No such rail; too short for the rail (the message says how long it must be), over the limit, or too many
            readings failed.
        """
        chosen = self._choose(rail)
        recording = Recording()
        idle_s = (MIN_SAMPLES + 2) * chosen.period_s if idle_s is None else idle_s
        idle = self._measure_idle(chosen, idle_s) if idle_s else None
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool, loop_times(self._device, self._clock) as times:
            sampling = pool.submit(sample, chosen, self._clock, stop.wait, limit_s)
            try:
                yield recording
            finally:
                stop.set()
        recording.finish(sampling.result().figures(chosen, times.start, times.end, times.n_inferences, idle))

    def _measure_idle(self, rail: Rail, idle_s: float) -> float:
        start, n_waits = self._clock(), count()

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return self._clock() - start >= idle_s and next(n_waits) >= MIN_SAMPLES  # sleeping may take longer

        return sample(rail, self._clock, wait, LIMIT_S).figures(rail, start, self._clock(), 0, None).average

    def _choose(self, name: str | None) -> Rail:
        if name is None:
            return max(self.rails, key=lambda rail: SCOPES.index(rail.scope))
        for rail in self.rails:
            if rail.name == name:
                return rail
        raise PowerError(f"there is no rail {name!r}; there are {', '.join(rail.name for rail in self.rails)}")


@dataclass(kw_only=True)
class LoopTimes:
    """When a loop began and ended, in the seconds of its clock, and how many inferences it ran."""

    start: float
    end: float
    n_inferences: int = 0


@contextmanager
def loop_times(device: "Device", clock: Callable[[], float] = time.time) -> Iterator[LoopTimes]:
    """Note the times of the work done in the context, for a meter whose log is read later (`read_meter`)."""
    n_before = device.n_inferences
    times = LoopTimes(start=clock(), end=math.nan)
    try:
        yield times
    finally:
        times.end = clock()
        times.n_inferences = device.n_inferences - n_before
