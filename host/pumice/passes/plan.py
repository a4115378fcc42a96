"""Where tensors lie on an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..planes import Planes
from ..spec.config import EngineConfig
from .memory import peak_bytes
from .operation import Operation
from .tile import Bands


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where everything lies.

    Attributes
    ----------
    planes : mapping of str to Planes
        Layout of each tensor, on chip and in memory.
    addresses : mapping of str to int
        Region of each tensor that stays on chip.
    bands : mapping of str to Bands
        By output: operations with an input or output in memory.
    homes : mapping of str to (int, int)
        Buffer and offset in it of the network's inputs and outputs, and of every tensor that does not stay on chip.
    next_inputs : int, optional
        See `passes.memory.place_overlapped`.
    network_inputs, network_outputs : tuple of str
    config : EngineConfig
    """

    planes: Mapping[str, Planes]
    addresses: Mapping[str, int]
    bands: Mapping[str, Bands]
    homes: Mapping[str, tuple[int, int]]
    next_inputs: int | None
    network_inputs: tuple[str, ...]
    network_outputs: tuple[str, ...]
    config: EngineConfig

    @property
    def end(self) -> int:
        """Bytes of activation memory in use, from its start."""
        sets = [sets for bands in self.bands.values() for sets in (bands.source, bands.target) if sets]
        return max([peak_bytes(self.addresses, self.planes), *(s.address + s.n_bytes for s in sets)])

    def sources(self, operation: Operation) -> list[tuple[int, Planes]]:
        """Address and planes of each input as an operation reads it: of bands in sets, the first set's.

        The address may be outside the memory, where addresses wrap.
        """
        bands = self.bands.get(operation.output)
        if not (bands and bands.source):
            return [(self.addresses[name], self.planes[name]) for name in operation.inputs]
        first = bands.source.address - (bands.reach.first if bands.n > 1 else 0)
        sets = bands.source
        return [
            (first + i * sets.map_bytes, replace(sets.planes, zero_point=self.planes[name].zero_point))
            for i, name in enumerate(operation.inputs)
        ]

    def target(self, operation: Operation) -> tuple[int, Planes]:
        """Address and planes of the output as an operation writes it: of bands in sets, the first set's."""
        bands = self.bands.get(operation.output)
        if not (bands and bands.target):
            return self.addresses[operation.output], self.planes[operation.output]
        return bands.target.address, bands.target.planes
