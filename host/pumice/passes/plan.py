"""Where tensors lie on an engine."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..planes import Planes
from ..spec.config import EngineConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where everything lies.

    Attributes
    ----------
    planes, addresses : mapping
        Planes and region address of each tensor.
    next_inputs : int, optional
        See `passes.memory.place`.
    network_inputs, network_outputs : tuple of str
    config : EngineConfig
    """

    planes: Mapping[str, Planes]
    addresses: Mapping[str, int]
    next_inputs: int | None
    network_inputs: tuple[str, ...]
    network_outputs: tuple[str, ...]
    config: EngineConfig
