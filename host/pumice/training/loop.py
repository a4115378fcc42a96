"""Sparse training: gradual pruning while the network learns, then quantisation-aware; resumable, seeded."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
import torch  # pyright: ignore[reportMissingImports]  extra `train`
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # noqa: N812  # pyright: ignore[reportMissingImports]

from ..errors import InputError, ModelError
from ..floating import FloatGraph
from ..pruning import Pattern, parse_pattern
from ..quantise import calibrate
from .module import GraphModule

MASK_INTERVAL = 50  # steps between two drawings of the masks


class Batches(Protocol):
    """Training data: batches of one pass."""

    def __len__(self) -> int:
        """Batches in a pass."""
        ...

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Inputs, float32 (n, height, width, channels), and labels, int64 (n,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a network is trained.

    Attributes
    ----------
    epochs, quantised_epochs : int
        Passes over the data in floating point, and after these with int8 rounding in the forward pass.
    prune_from, prune_to : int
        Epochs between which the share of zeros grows, by a cubic schedule (Zhu and Gupta, 2017).
    freeze_from : int
        Epoch from which on masks stay as they are; the quantised phase freezes them in any case.
    sparsity : mapping of str to float
        Share of each layer's weights to drop in the end, by the layer's name; in layers not named, weights that are
        zero stay zero, and no others become it.
    pattern : str
        See `pumice.pruning.parse_pattern`.
    learning_rate, quantised_learning_rate : float
        Peak, reached after ``warmup`` epochs, from where it falls to zero along a cosine; and the second phase's.
    """

    epochs: int
    quantised_epochs: int
    prune_from: int
    prune_to: int
    freeze_from: int
    sparsity: Mapping[str, float] = field(default_factory=dict)
    pattern: str = "unstructured"
    batch: int = 128
    learning_rate: float = 0.15
    quantised_learning_rate: float = 0.002
    warmup: float = 2.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    seed: int = 1

    def __post_init__(self):
        if self.epochs < 0 or self.quantised_epochs < 0 or self.batch < 1:
            raise InputError("epochs must be at least 0 and a batch at least 1")
        if not 0 <= self.prune_from <= self.prune_to <= self.freeze_from:
            raise InputError("prune_from, prune_to and freeze_from must be epochs in this order")
        if bad := [name for name, share in self.sparsity.items() if not 0 <= share <= 1]:
            raise InputError(f"sparsity of {bad[0]} must be 0..1, not {self.sparsity[bad[0]]}")
        parse_pattern(self.pattern)

    def rate(self, epoch: float) -> float:
        """Learning rate after ``epoch`` epochs, of both phases."""
        if epoch >= self.epochs:
            return _cosine(self.quantised_learning_rate, (epoch - self.epochs) / max(self.quantised_epochs, 1))
        if epoch < self.warmup:
            return self.learning_rate * epoch / self.warmup
        return _cosine(self.learning_rate, (epoch - self.warmup) / (self.epochs - self.warmup))

    def progress(self, epoch: float) -> float:
        """Share of its final sparsity that a layer has after ``epoch`` epochs."""
        if epoch >= self.prune_to:
            return 1.0
        if epoch < self.prune_from:
            return 0.0
        return 1 - (1 - (epoch - self.prune_from) / (self.prune_to - self.prune_from)) ** 3


def _cosine(peak: float, done: float) -> float:
    return peak * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class Trainer:
    """Trains a network, one epoch at a time.

    Parameters
    ----------
    graph : FloatGraph
        The network and its first weights.
    config : TrainingConfig
    calibration : ndarray of float32, (n, height, width, channels)
        Inputs from which scales are calibrated when the quantised phase begins.
    batch_norm : bool
        Train with batch normalisation behind convolutions.
    trained : bool
        ``graph`` is no random network: batch normalisation then changes nothing in it at first.
    """

    def __init__(
        self,
        graph: FloatGraph,
        config: TrainingConfig,
        calibration: np.ndarray,
        *,
        batch_norm: bool = False,
        trained: bool = False,
    ):
        known = {layer.name for layer in graph.layers}
        if unknown := sorted(set(config.sparsity) - known):
            raise InputError(f"there is no layer {unknown[0]} in {graph.name}")
        self.graph, self.config, self.calibration, self.batch_norm = graph, config, calibration, batch_norm
        self.epoch = 0
        self.module = GraphModule(graph, batch_norm=batch_norm)
        if trained and batch_norm:
            self.module.start_norms(calibration)
        self._optimiser = self._new_optimiser()
        if config.epochs == 0:
            self._quantise()

    @property
    def done(self) -> bool:
        """All epochs of both phases are over."""
        return self.epoch >= self.config.epochs + self.config.quantised_epochs

    def result(self) -> FloatGraph:
        """The network as it is now; in the quantised phase its ``quantisations`` state all scales."""
        self.module.eval()
        return self.module.to_graph()

    def train_epoch(self, data: Batches, advance: Callable[[float], None] = lambda loss: None) -> float:
        """One pass over the data; mean loss. ``advance`` is called with the loss of each batch."""
        if self.done:
            raise InputError("training is over")
        rng = np.random.default_rng([self.config.seed, self.epoch])
        quantised = self.module.quantisations is not None
        self.module.train()
        total = 0.0
        for i, (x, labels) in enumerate(data(rng)):
            now = self.epoch + i / len(data)
            if now <= self.config.freeze_from and i % MASK_INTERVAL == 0 and not quantised:
                self._draw_masks(now)
            for group in self._optimiser.param_groups:
                group["lr"] = self.config.rate(now)
            logits = self.module(torch.from_numpy(x).permute(0, 3, 1, 2))
            loss = F.cross_entropy(logits, torch.from_numpy(labels))
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            value = loss.item()
            if not math.isfinite(value):
                raise ModelError(f"the loss is not finite in epoch {self.epoch + 1}: lower the learning rate")
            total += value
            advance(value)
        self.epoch += 1
        if self.epoch == self.config.epochs:
            self._quantise()
        return total / len(data)

    def _draw_masks(self, epoch: float) -> None:
        pattern: Pattern = parse_pattern(self.config.pattern)
        progress = self.config.progress(epoch)
        for name, sparsity in self.config.sparsity.items():
            conv = self.module.conv(name)
            conv.set_mask(pattern.mask(conv.saliency(), sparsity * progress))

    def _quantise(self) -> None:
        """Into the second phase: batch normalisation folded, scales calibrated, masks kept."""
        if self.config.freeze_from >= self.config.epochs:
            self._draw_masks(self.config.prune_to)
        masks = {name: conv.mask for name, conv in self.module.convs.items()}
        graph = self.result()
        self.module = GraphModule(graph, quantisations=calibrate(graph, self.calibration, method="mse"))
        for name, conv in self.module.convs.items():
            conv.mask.copy_(masks[name])
        self._optimiser = self._new_optimiser()

    def _new_optimiser(self) -> torch.optim.SGD:
        decayed = [p for p in self.module.parameters() if p.ndim > 1]
        others = [p for p in self.module.parameters() if p.ndim == 1]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.SGD(groups, lr=0.0, momentum=self.config.momentum, nesterov=True)

    def save(self, path: Path) -> None:
        """Write a checkpoint: an ``.npz`` without pickles, replaced as a whole."""
        arrays = {f"module.{key}": value.numpy() for key, value in self.module.state_dict().items()}
        for i, parameter in enumerate(self._parameters()):
            if (momentum := self._optimiser.state[parameter].get("momentum_buffer")) is not None:
                arrays[f"momentum.{i}"] = momentum.numpy()
        if self.module.quantisations is not None:
            arrays["scales"] = np.array([[*self.module.quantisations[name]] for name in sorted(self.graph.shapes)])
        arrays["epoch"] = np.array(self.epoch)
        arrays["config"] = np.array(repr(asdict(self.config)))
        temporary = path.with_name(path.name + ".part")
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same network and configuration.

        Raises
        ------
        ModelError
            It is of another configuration or network, or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise ModelError(f"{path} is no checkpoint, or damaged: {error}") from error
        if str(arrays.get("config")) != repr(asdict(self.config)):
            raise ModelError(f"{path} belongs to another training configuration: remove it to start anew")
        if "scales" in arrays:
            names = sorted(self.graph.shapes)
            scales = {n: (float(s), int(z)) for n, (s, z) in zip(names, arrays["scales"], strict=True)}
            self.module = GraphModule(self.graph, quantisations=scales)
            self._optimiser = self._new_optimiser()
        prefix = "module."
        state = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
        try:
            self.module.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"{path} is of another network: {error}") from error
        for i, parameter in enumerate(self._parameters()):
            if f"momentum.{i}" in arrays:
                self._optimiser.state[parameter]["momentum_buffer"] = torch.from_numpy(arrays[f"momentum.{i}"])
        self.epoch = int(arrays["epoch"])

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self._optimiser.param_groups for p in group["params"]]
