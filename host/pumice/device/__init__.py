"""Devices: one way to run networks, whatever carries the engine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ..errors import DeviceError
from ..image import Image
from ..network import Model, Network, PipelineNetwork, find_config
from ..pipeline import Pipeline
from ..spec.config import EngineConfig
from .driver import EngineRun
from .predicted import PredictedEngine

if TYPE_CHECKING:
    from ..power import Power

DEVICES = ("sim", "pynq", "serial", "reference")
DEFAULT_CONFIG = "Z7020"


class Engine(Protocol):
    """What a device drives: an `EngineDriver` or a stand-in for it."""

    def load(self, image: Image) -> None:
        """Make an image the one that runs."""
        ...

    def run_many(self, data: Sequence[bytes]) -> list[EngineRun]:
        """One inference for each input buffer, without a pause in between."""
        ...

    def close(self) -> None:
        """Let go of everything. Harmless when repeated."""
        ...


class Device:
    """An engine that networks are loaded on; a context manager that closes it.

    Attributes
    ----------
    name : str
        One of `DEVICES`.
    kind : str
        What its cycles are; see `pumice.report.Result`.
    config : EngineConfig
    engine : Engine
        What carries it out; an `EngineDriver` unless ``name`` is ``reference``.
    n_inferences : int
        Inferences done so far; one of a network of several images counts once.
    """

    def __init__(self, name: str, kind: str, config: EngineConfig, engine: Engine):
        self.name, self.kind, self.config, self.engine = name, kind, config, engine
        self.n_inferences = 0
        self._loaded: Image | None = None
        self._observers: list[Callable[[Image, bytes, EngineRun], None]] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Let go of the engine. Harmless when repeated."""
        self.engine.close()

    def load(
        self,
        model: Model | Image | Pipeline,
        *,
        formats: Mapping[str, str] | str | None = None,
        dense: bool = False,
    ) -> Network:
        """Compile a model for this engine (what is compiled is taken as it is) and load it.

        Networks share the engine: running one that is not the last one loaded loads it again.

        Parameters
        ----------
        formats, dense
            As in `pumice.compiler.compile_graph`.
        """
        compiled = model.compile(self.config, formats=formats, dense=dense) if isinstance(model, Model) else model
        if isinstance(compiled, Pipeline):
            self._make_current(compiled.images[0])
            return PipelineNetwork(self, compiled)
        self._make_current(compiled)
        return Network(self, compiled)

    def run(self, image: Image, data: bytes, *, completes: bool = True) -> EngineRun:
        """Run an image on an input buffer; see `run_many`."""
        return self.run_many(image, [data], completes=completes)[0]

    def run_many(self, image: Image, data: Sequence[bytes], *, completes: bool = True) -> list[EngineRun]:
        """Run an image on input buffers; transfers of one overlap with the inference on another.

        Parameters
        ----------
        completes : bool
            Each run ends an inference; False for all but the last image of a network of several.
        """
        self._make_current(image)
        runs = self.engine.run_many(data)
        self.n_inferences += completes * len(runs)
        for sample, run in zip(data, runs, strict=True):
            for observer in self._observers:
                observer(image, sample, run)
        return runs

    @contextmanager
    def observe(self, observer: Callable[[Image, bytes, EngineRun], None]) -> Iterator[None]:
        """Call ``observer`` with image, input buffer and result after each inference while the context is entered."""
        self._observers.append(observer)
        try:
            yield
        finally:
            self._observers.remove(observer)

    def power(self, **options) -> "Power":
        """What tells this device's power; see `pumice.power.device_power`, which takes the options."""
        from ..power import device_power

        return device_power(self, **options)

    def _make_current(self, image: Image) -> None:
        if self._loaded is not image:
            self._loaded = None
            self.engine.load(image)
            self._loaded = image


def open_device(name: str, *, config: EngineConfig | str | None = None, **options) -> Device:
    """Open a device.

    Parameters
    ----------
    name : str
        ``sim``: the hardware, simulated cycle by cycle. ``pynq``: a board that runs PYNQ. ``serial``: a board on a
        serial port. ``reference``: numpy, with predicted cycles.
    config : EngineConfig or str, optional
        The engine, or its name in `CONFIGS`; default: `DEFAULT_CONFIG`, for ``pynq`` what the engine says that it is.
    options
        For ``sim`` those of `pumice_sim.Board`, for ``pynq`` those of `pumice.device.pynq.open_pynq`, for ``serial``
        those of `pumice.device.serial.open_serial`.

    Raises
    ------
    DeviceError
        Unknown name or configuration, or the device cannot be opened.
    """
    if name == "pynq":
        try:
            from .pynq import open_pynq
        except ImportError as error:
            raise DeviceError(f"this device needs PYNQ ({error}): pip install 'pumice[pynq]'") from error
        kind, engine = open_pynq(None if config is None else find_config(config), **options)
        return Device(name, kind, engine.config, engine)
    config = find_config(config or DEFAULT_CONFIG)
    if name == "sim":
        from .sim import open_sim

        return Device(name, "simulated", config, open_sim(config, **options))
    if name == "serial":
        from .serial import open_serial

        return Device(name, "on-board", config, open_serial(config, **options))
    if name == "reference":
        return Device(name, "predicted", config, PredictedEngine(config, **options))
    raise DeviceError(f"there is no device {name!r}; there are {', '.join(DEVICES)}")
