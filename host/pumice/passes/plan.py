"""Where tensors lie on an engine."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..planes import Planes
from ..spec.config import EngineConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Planes and region address of each tensor, the network's input and output, and the engine."""

    planes: Mapping[str, Planes]
    addresses: Mapping[str, int]
    network_input: str
    network_output: str
    config: EngineConfig
