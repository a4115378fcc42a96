"""Power of a device without sensors, from the energy model; every figure is of kind ``modelled``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..device.driver import EngineRun
from ..energy.coefficients import load_coefficients
from ..energy.model import KIND, estimate
from ..errors import PowerError
from ..image import Image
from .rails import Rail
from .record import Figures, Recording

if TYPE_CHECKING:
    from ..device import Device


class ModelledPower:
    """Power of a device by the model: energies of inferences over the engine's time, not the host's.

    Attributes
    ----------
    rails : tuple of Rail
        One, ``model``; it cannot be read, since there is no power between inferences.
    """

    def __init__(self, device: "Device", coefficients: str | Path):
        self._device = device
        self._coefficients = load_coefficients(coefficients)
        self._clock_hz = device.config.clock_mhz * 1e6
        self.kind = f"{KIND} (coefficients {self._coefficients.name}, activity {device.kind})"
        if self._coefficients.has_placeholders:
            self.kind += ", placeholders: not for quoting"
        self.rails = (Rail(name="model", scope="model", kind=self.kind, read=_refuse, period_s=1 / self._clock_hz),)

    @property
    def idle(self) -> float:
        """Watts of clocks and soft core."""
        events = ("cycles", "soft_core_cycles")
        return sum(self._coefficients.values[event].pj for event in events) * 1e-12 * self._clock_hz

    @contextmanager
    def record(self) -> Iterator[Recording]:
        """Model the inferences done in the context: ``n_samples`` are inferences, ``peak`` is of the costliest layer.

        Layers that the host runs and loading of images take no part in it.

        Raises
        ------
        PowerError
            No inference ran.
        """
        recording, device = Recording(), self._device
        by_image: dict[Image, list[tuple[Image, bytes, EngineRun]]] = {}
        n_before = device.n_inferences
        with device.observe(lambda image, data, run: by_image.setdefault(image, []).append((image, data, run))):
            yield recording
        n_inferences = device.n_inferences - n_before
        if not n_inferences:
            raise PowerError("no inference ran on the device while this was recorded")
        reports = [estimate(runs, device.config, self._coefficients, backend=device.kind) for runs in by_image.values()]
        recording.finish(
            Figures(
                rail="model",
                scope="model",
                kind=self.kind,
                energy_j=sum(report.n_samples * report.total.joules for report in reports),
                duration_s=sum(report.n_samples * report.latency_s for report in reports),
                peak=max(report.peak_w for report in reports),
                idle=self.idle,
                n_samples=n_inferences,
                n_dropped=0,
                n_inferences=n_inferences,
            )
        )


def _refuse() -> float:
    raise PowerError("the model has no power of the moment: record inferences")
