"""Where tensors lie on an engine."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..planes import Planes
from ..spec.config import EngineConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Planes and region address of each tensor, the network's inputs and outputs, and the engine."""

    planes: Mapping[str, Planes]
    addresses: Mapping[str, int]
    network_inputs: tuple[str, ...]
    network_outputs: tuple[str, ...]
    config: EngineConfig
