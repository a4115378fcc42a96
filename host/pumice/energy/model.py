"""Activity times coefficients: modelled energy by layer and component, over batch sizes, and in JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ..device.driver import EngineRun
from ..image import Image
from ..spec.config import EngineConfig
from .activity import ACTIVITIES, CONTROL, Activity, load_activity, network_activity
from .coefficients import Coefficients

KIND = "modelled"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
COMPONENTS = {
    "MACs": ("macs",),
    "idle MACs": ("zero_macs", "masked_macs", "filler_macs"),
    "decode, address": ("steps",),
    "requantise": ("requantised",),
    "activation memory": ("bank_read_bytes", "bank_write_bytes"),
    "weight memory": ("weight_words_read", "weight_words_written"),
    "DRAM": ("dram_bytes",),
    "soft core": ("soft_core_cycles",),
    "static, clock": ("cycles",),
}
"""What reports add up; every event belongs to one."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Modelled energy of an activity.

    Attributes
    ----------
    activity : Activity
    components : dict of str to float
        Joules of each of `COMPONENTS`.
    """

    activity: Activity
    components: dict[str, float]

    @property
    def joules(self) -> float:
        """The sum of the components."""
        return sum(self.components.values())


def price(activity: Activity, coefficients: Coefficients) -> Energy:
    """What an activity costs."""
    return Energy(
        activity=activity,
        components={
            name: sum(getattr(activity, event) * coefficients.values[event].pj * 1e-12 for event in events)
            for name, events in COMPONENTS.items()
        },
    )


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """Modelled energy of a network: never a measurement (``kind``).

    Attributes
    ----------
    model, config : str
    backend : str
        What the device's counters are: ``simulated``, ``predicted`` or ``on-board``.
    clock_mhz : float
        Turns cycles into seconds.
    n_samples : int
        Inferences that everything is the mean of.
    coefficients : Coefficients
    layers : dict of str to Energy
        One inference, by layer, and `CONTROL`.
    load : Energy
        Loading the images.
    n_images : int
        A network of one image loads it once for any number of inferences; one of several loads each for each inference.
    """

    model: str
    config: str
    backend: str
    clock_mhz: float
    n_samples: int
    coefficients: Coefficients
    layers: dict[str, Energy]
    load: Energy
    n_images: int = 1
    kind: str = KIND

    @property
    def total(self) -> Energy:
        """One inference, without loading."""
        return price(Activity.total(layer.activity for layer in self.layers.values()), self.coefficients)

    @property
    def latency_s(self) -> float:
        """Seconds of one inference."""
        return self.seconds(self.total.activity.cycles)

    @property
    def average_w(self) -> float:
        """Energy over latency."""
        return self.total.joules / self.latency_s

    @property
    def peak_w(self) -> float:
        """Largest mean power of a layer."""
        return max(
            energy.joules / self.seconds(energy.activity.cycles)
            for energy in self.layers.values()
            if energy.activity.cycles > 0
        )

    def seconds(self, cycles: float) -> float:
        """Cycles over clock."""
        return cycles / (self.clock_mhz * 1e6)

    def batch(self, n: int) -> float:
        """Joules an inference, loads included, of ``n`` in a row."""
        return self.total.joules + self.load.joules / (n if self.n_images == 1 else 1)

    def to_json(self) -> dict:
        """The disclosure: all figures, what kind they are and what they rest on."""
        return {
            "kind": self.kind,
            "backend": self.backend,
            "model": self.model,
            "config": self.config,
            "clock_mhz": self.clock_mhz,
            "n_samples": self.n_samples,
            "energy_per_inference_j": self.total.joules,
            "latency_s": self.latency_s,
            "average_power_w": self.average_w,
            "peak_power_w": self.peak_w,
            "components_j": self.total.components,
            "activities": asdict(self.total.activity),
            "activity_sources": {name: event.source for name, event in ACTIVITIES.items()},
            "layers": [
                {"name": name, "energy_j": energy.joules, "components_j": energy.components}
                | {"activities": asdict(energy.activity)}
                for name, energy in self.layers.items()
            ],
            "n_images": self.n_images,
            "load_j": self.load.joules,
            "batch": [{"n": n, "energy_per_inference_j": self.batch(n)} for n in BATCH_SIZES],
            "placeholders": self.coefficients.has_placeholders,
            "coefficients": {"name": self.coefficients.name} | self.coefficients.to_json(),
        }


def estimate(
    runs: Sequence[tuple[Image, bytes, EngineRun]], config: EngineConfig, coefficients: Coefficients, *, backend: str
) -> EnergyReport:
    """Modelled energy of a network, the mean over some inferences.

    Parameters
    ----------
    runs : sequence of (Image, bytes, EngineRun), at least one
        Images, input buffers, and what the device made of them, as `pumice.device.Device.observe` tells them. A network
        of several images runs each of them as often.
    backend : str
        The device's ``kind``.

    Raises
    ------
    DeviceError
        See `network_activity`.
    """
    images = list(dict.fromkeys(image for image, _, _ in runs))
    n_samples = len(runs) // len(images)
    activities: dict[str, Activity] = {}
    for image, data, run in runs:
        for name, activity in network_activity(image, config, data, run).items():
            activities[name] = activities.get(name, Activity()) + activity
    control = activities.pop(CONTROL)
    return EnergyReport(
        model=images[0].metadata["model"],
        config=config.name,
        backend=backend,
        clock_mhz=config.clock_mhz,
        n_samples=n_samples,
        coefficients=coefficients,
        layers={name: price(a / n_samples, coefficients) for name, a in (activities | {CONTROL: control}).items()},
        load=price(Activity.total(load_activity(image, config) for image in images), coefficients),
        n_images=len(images),
    )
