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
from .pipeline import MAGIC as PIPELINE_MAGIC
from .pipeline import Pipeline
from .report import LayerReport, Result, host_report, layer_reports, share
from .spec.config import CONFIGS, EngineConfig
from .spec.descriptor import IMAGE_MAGIC
from .split import split

if TYPE_CHECKING:
    from .device import Device
    from .device.driver import EngineRun


@dataclass(frozen=True, eq=False)
class Model:
    """A network read from a file, for any engine."""

    graph: Graph

    def compile(
        self, config: EngineConfig | str, *, formats: Mapping[str, str] | str | None = None, dense: bool = False
    ) -> Image | Pipeline:
        """What runs on one engine; see `pumice.compiler.compile_network`."""
        from .compiler import compile_network

        return compile_network(self.graph, find_config(config), formats=formats, dense=dense)


def find_config(config: EngineConfig | str) -> EngineConfig:
    """A configuration by its name, or as given. DeviceError: there is none of that name."""
    if isinstance(config, EngineConfig):
        return config
    if config not in CONFIGS:
        raise DeviceError(f"there is no configuration {config!r}; there are {', '.join(CONFIGS)}")
    return CONFIGS[config]


def load(path: str | Path) -> Model | Image | Pipeline:
    """Read a network, or what was compiled before.

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
    if head == PIPELINE_MAGIC:
        return Pipeline.from_bytes(Path(path).read_bytes())
    from .frontends import load_graph

    return Model(load_graph(path))


def signature(model: Model | Image | Pipeline) -> Graph:
    """The network's name, input, output and softmax (no other layers): all that inputs and results need."""
    if isinstance(model, Model | Pipeline):
        return model.graph
    metadata = model.metadata
    source, result, softmax = _tensor(metadata["input"]), _tensor(metadata["output"]), metadata["softmax"]
    further = [_tensor(entry) for entry in metadata["further_outputs"]]
    tensors, layers = [source, result], []
    if softmax is not None:
        probabilities = replace(
            result, name=f"{result.name}/softmax", scale=softmax["scale"], zero_point=softmax["zero_point"]
        )
        tensors.append(probabilities)
        layers.append(Softmax(name="softmax", inputs=(result.name,), output=probabilities.name, beta=softmax["beta"]))
    return Graph(
        name=metadata["model"],
        tensors={tensor.name: tensor for tensor in (*tensors, *further)},
        layers=layers,
        input=source.name,
        output=tensors[-1].name,
        input_shape=tuple(metadata["input"]["shape"]),
        output_shape=tuple(metadata["output"]["shape"]),
        further_outputs={entry["name"]: tuple(entry["shape"]) for entry in metadata["further_outputs"]},
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
        return self._run(self._one(x))

    def run_many(self, xs: Iterable[np.ndarray]) -> list[Result]:
        """One inference for each sample, in throughput mode: the engine goes from one to the next without the host.

        The next sample's input and the last one's output are transferred during the inference, where memory suffices
        (see `pumice.passes.memory.place`). Samples and results as in `run`, but cycles and memory traffic of a result
        are its share of those of the samples that ran together, and its layers are the last one's.
        """
        packed = [self.image.pack_input(self._one(x)) for x in xs]
        return [self._of_run(run) for run in self.device.run_many(self.image, packed)]

    def _one(self, x: np.ndarray) -> np.ndarray:
        samples = convert_input(np.asarray(x), self.signature)
        if len(samples) != 1:
            raise InputError(f"one inference takes one sample, not {len(samples)}")
        return samples[0]

    def _run(self, sample: np.ndarray) -> Result:
        return self._of_run(self.device.run(self.image, self.image.pack_input(sample)))

    def _of_run(self, run: EngineRun) -> Result:
        graph = self.signature
        raw = self.image.unpack_outputs(run.output)
        layers = list(layer_reports(self.image.metadata["layers"], run.log, self.device.config))
        for softmax in graph.layers:
            raw[softmax.output] = golden.run_layer(graph, softmax, [raw[softmax.inputs[0]]])
        return self._result(graph, raw, [run], layers, self.image.metadata["weight_bytes"])

    def _result(
        self, graph: Graph, raw: dict[str, np.ndarray], runs: list[EngineRun], layers: list[LayerReport], n_bytes: int
    ) -> Result:
        config, cycles = self.device.config, sum(run.cycles for run in runs)
        nonzero_macs = sum(layer.nonzero_macs for layer in layers)
        outputs = {name: raw[name].reshape(shape) for name, shape in graph.outputs.items()}
        real = {name: golden.dequantise(graph.tensors[name], values) for name, values in outputs.items()}
        return Result(
            output=real[graph.output],
            output_raw=outputs[graph.output],
            outputs=real,
            outputs_raw=outputs,
            kind=self.device.kind,
            config=config.name,
            cycles=cycles,
            n_together=max((run.n_together for run in runs), default=1),
            clock_mhz=config.clock_mhz,
            nonzero_macs=nonzero_macs,
            dense_macs=sum(layer.dense_macs for layer in layers),
            mac_utilisation=share(nonzero_macs, config.n_multipliers * cycles),
            weight_bytes=n_bytes,
            dram_bytes=sum(run.read_bytes + run.write_bytes for run in runs),
            layers=tuple(layers),
        )


class PipelineNetwork(Network):
    """A compiled network of several parts on a device.

    Attributes
    ----------
    pipeline : Pipeline
    """

    def __init__(self, device: Device, pipeline: Pipeline):
        self.device, self.pipeline, self.signature = device, pipeline, pipeline.graph

    def run_many(self, xs: Iterable[np.ndarray]) -> list[Result]:
        """One inference after the other; each sample and each result as in `run`."""
        return [self.run(x) for x in xs]

    def _run(self, sample: np.ndarray) -> Result:
        graph, images = self.pipeline.graph, iter(self.pipeline.images)
        tensors, runs, layers = {graph.input: sample}, [], []
        for part in split(graph):
            if part.on_engine:
                image = next(images)
                run = self.device.run(image, image.pack_inputs(tensors), completes=image is self.pipeline.images[-1])
                tensors |= image.unpack_outputs(run.output)
                layers += layer_reports(image.metadata["layers"], run.log, self.device.config)
                runs.append(run)
            else:
                for layer in part.graph.layers:
                    tensors[layer.output] = golden.run_layer(graph, layer, [tensors[name] for name in layer.inputs])
                    layers.append(host_report(layer))
        return self._result(graph, tensors, runs, layers, self.pipeline.weight_bytes)


def _tensor(entry: dict) -> Tensor:
    return Tensor(
        name=entry["name"],
        shape=tuple(entry["planes"]["shape"]),
        scale=entry["scale"],
        zero_point=entry["zero_point"],
    )
