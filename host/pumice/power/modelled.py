"""Power of a device without sensors, from the energy model; every figure is of kind ``modelled``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..device.driver import EngineRun
from ..energy.coefficients import load_coefficients
from ..energy.model import KIND, EnergyReport, estimate
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

        Raises
        ------
        PowerError
            No inference ran.
        """
        recording = Recording()
        reports: list[EnergyReport] = []

        def model(image: Image, data: bytes, run: EngineRun) -> None:
            device = self._device
            reports.append(estimate(image, device.config, [(data, run)], self._coefficients, backend=device.kind))

        with self._device.observe(model):
            yield recording
        if not reports:
            raise PowerError("no inference ran on the device while this was recorded")
        recording.finish(
            Figures(
                rail="model",
                scope="model",
                kind=self.kind,
                energy_j=sum(report.total.joules for report in reports),
                duration_s=sum(report.latency_s for report in reports),
                peak=max(report.peak_w for report in reports),
                idle=self.idle,
                n_samples=len(reports),
                n_dropped=0,
                n_inferences=len(reports),
            )
        )


def _refuse() -> float:
    raise PowerError("the model has no power of the moment: record inferences")
