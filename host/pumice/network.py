"""Models, and networks loaded on a device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import golden
from .errors import DeviceError, InputError, ModelError
from .graph import Graph, Softmax, Tensor
from .image import Image
from .inputs import convert_input
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


def signature(model: Model | Image) -> Graph:
    """The network's name, input, output and softmax (no other layers): all that inputs and results need."""
    if isinstance(model, Model):
        return model.graph
    metadata = model.metadata
    source, result, softmax = _tensor(metadata["input"]), _tensor(metadata["output"]), metadata["softmax"]
    tensors, layers = [source, result], []
    if softmax is not None:
        probabilities = replace(
            result, name=f"{result.name}/softmax", scale=softmax["scale"], zero_point=softmax["zero_point"]
        )
        tensors.append(probabilities)
        layers.append(Softmax(name="softmax", inputs=(result.name,), output=probabilities.name, beta=softmax["beta"]))
    return Graph(
        name=metadata["model"],
        tensors={tensor.name: tensor for tensor in tensors},
        layers=layers,
        input=source.name,
        output=tensors[-1].name,
        input_shape=tuple(metadata["input"]["shape"]),
        output_shape=tuple(metadata["output"]["shape"]),
    )


class Network:
    """A compiled network on a device.

    Attributes
    ----------
    device : Device
    image : Image
    signature : Graph
        What it takes and returns; see `signature`.
    """

    def __init__(self, device: Device, image: Image):
        self.device, self.image, self.signature = device, image, signature(image)

    def run(self, x: np.ndarray) -> Result:
        """One inference.

        Parameters
        ----------
        x : ndarray
            One sample, as `pumice.inputs.convert_input` takes it: int8 in the model file's input shape (its batch of
            one may be left out), or floating point, which is quantised first.

        Raises
        ------
        InputError
            Wrong shape or dtype, or several samples; nothing has been sent to the device then.
        DeviceError, DeviceTimeoutError
            See `pumice.device.driver.EngineDriver.run`.
        """
        image, metadata, config, graph = self.image, self.image.metadata, self.device.config, self.signature
        samples = convert_input(np.asarray(x), graph)
        if len(samples) != 1:
            raise InputError(f"one inference takes one sample, not {len(samples)}")
        run = self.device.run(image, image.pack_input(samples[0]))
        raw = image.unpack_output(run.output)
        for softmax in graph.layers:
            raw = golden.run_layer(graph, softmax, [raw])
        layers = layer_reports(metadata["layers"], run.log, config)
        nonzero_macs = sum(layer.nonzero_macs for layer in layers)
        return Result(
            output=golden.dequantise(graph.tensors[graph.output], raw).reshape(graph.output_shape),
            output_raw=raw.reshape(graph.output_shape),
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

    def run_many(self, xs: Iterable[np.ndarray]) -> list[Result]:
        """One inference after the other; each sample and each result as in `run`."""
        return [self.run(x) for x in xs]


def _tensor(entry: dict) -> Tensor:
    return Tensor(
        name=entry["name"],
        shape=tuple(entry["planes"]["shape"]),
        scale=entry["scale"],
        zero_point=entry["zero_point"],
    )
