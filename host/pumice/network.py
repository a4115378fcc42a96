"""Models, and networks loaded on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import golden
from .errors import DeviceError, InputError, ModelError
from .graph import Graph, Softmax, Tensor
from .image import Image
from .report import Result, layer_reports, share
from .spec.config import CONFIGS, EngineConfig
from .spec.descriptor import IMAGE_MAGIC

if TYPE_CHECKING:
    from .device import Device


@dataclass(frozen=True, eq=False)
class Model:
    """A network read from a file, for any engine."""

    graph: Graph

    def compile(self, config: EngineConfig | str, *, formats: Mapping[str, str] | str | None = None) -> Image:
        """An image for one engine; see `pumice.compiler.compile_graph`."""
        from .compiler import compile_graph

        return compile_graph(self.graph, find_config(config), formats=formats)


def find_config(config: EngineConfig | str) -> EngineConfig:
    """A configuration by its name, or as given. DeviceError: there is none of that name."""
    if isinstance(config, EngineConfig):
        return config
    if config not in CONFIGS:
        raise DeviceError(f"there is no configuration {config!r}; there are {', '.join(CONFIGS)}")
    return CONFIGS[config]


def load(path: str | Path) -> Model | Image:
    """Read a network, or an image that was compiled before.

    Raises
    ------
    ModelError, ImageError
        The file cannot be read, holds no network, or holds one that cannot run.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if head == IMAGE_MAGIC.to_bytes(4, "little"):
        return Image.load(path)
    from .frontends import load_graph

    return Model(load_graph(path))


class Network:
    """A compiled network on a device.

    Attributes
    ----------
    device : Device
    image : Image
    input, output : Tensor
        What it takes and returns; ``shape`` as in the model file.
    """

    def __init__(self, device: Device, image: Image):
        self.device, self.image = device, image
        metadata = image.metadata
        self.input = _tensor(metadata["input"])
        self._engine_output = _tensor(metadata["output"])
        self.output = self._engine_output
        self._tail = None
        if metadata["softmax"]:
            self.output = _tensor(metadata["output"] | metadata["softmax"] | {"name": "probabilities"})
            self._tail = Graph(
                name=metadata["model"],
                tensors={t.name: t for t in (self._engine_output, self.output)},
                layers=[
                    Softmax(
                        name="softmax",
                        inputs=(self._engine_output.name,),
                        output=self.output.name,
                        beta=metadata["softmax"]["beta"],
                    )
                ],
                input=self._engine_output.name,
                output=self.output.name,
                input_shape=self._engine_output.shape,
                output_shape=self.output.shape,
            )

    def run(self, x: np.ndarray) -> Result:
        """One inference.

        Parameters
        ----------
        x : ndarray
            One sample in the model file's input shape (a batch of one may be left out): int8 as the model takes it, or
            floating point, which is quantised first.

        Raises
        ------
        InputError
            Wrong shape or dtype; nothing has been sent to the device then.
        DeviceError, DeviceTimeoutError
            See `pumice.device.driver.EngineDriver.run`.
        """
        image, metadata, config = self.image, self.image.metadata, self.device.config
        run = self.device.run(image, image.pack_input(self._input_map(x)))
        assert run is not None
        raw = image.unpack_output(run.output)
        if self._tail is not None:
            raw = golden.run(self._tail, raw)
        layers = layer_reports(metadata["layers"], run.log, config)
        nonzero_macs = sum(layer.nonzero_macs for layer in layers)
        shape = metadata["output"]["shape"]
        return Result(
            output=golden.dequantise(self.output, raw).reshape(shape),
            output_raw=raw.reshape(shape),
            kind=self.device.kind,
            config=config.name,
            cycles=run.cycles,
            clock_mhz=config.clock_mhz,
            nonzero_macs=nonzero_macs,
            dense_macs=sum(layer.dense_macs for layer in layers),
            mac_utilisation=share(nonzero_macs, config.n_multipliers * run.cycles),
            weight_bytes=metadata["weight_bytes"],
            dram_bytes=run.read_bytes + run.write_bytes,
            layers=layers,
        )

    def _input_map(self, x: np.ndarray) -> np.ndarray:
        """A sample as the engine's int8 map."""
        x = np.asarray(x)
        shape = tuple(self.image.metadata["input"]["shape"])
        if x.shape not in (shape, shape[1:] if shape[:1] == (1,) else shape):
            raise InputError(f"the network takes samples of shape {shape}, not {x.shape}")
        if np.issubdtype(x.dtype, np.floating):
            if not np.isfinite(x).all():
                raise InputError("the sample holds values that are not finite")
            x = golden.quantise(self.input, x)
        elif x.dtype != np.int8:
            raise InputError(f"samples must be int8 or floating point, not {x.dtype}")
        return x.reshape(self.input.shape)


def _tensor(entry: dict) -> Tensor:
    return Tensor(
        name=entry["name"],
        shape=tuple(entry["planes"]["shape"]),
        scale=entry["scale"],
        zero_point=entry["zero_point"],
    )
