"""Where tensors lie on an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..planes import Planes
from ..spec.config import EngineConfig
from .operation import Operation
from .tile import Stripes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where everything lies.

    Attributes
    ----------
    planes : mapping of str to Planes
        Layout of each tensor, on chip and in memory.
    addresses : mapping of str to int
        Region of each tensor that stays on chip.
    stripes : mapping of str to Stripes
        By output: operations with an input or output in memory.
    homes : mapping of str to (int, int)
        Buffer of each tensor in memory, and offset in it.
    network_input, network_output : str
    config : EngineConfig
    """

    planes: Mapping[str, Planes]
    addresses: Mapping[str, int]
    stripes: Mapping[str, Stripes]
    homes: Mapping[str, tuple[int, int]]
    network_input: str
    network_output: str
    config: EngineConfig

    def sources(self, operation: Operation) -> list[tuple[int, Planes]]:
        """Address and planes of each input as an operation reads it: of stripes in sets, the first set's.

        The address may be outside the memory, where addresses wrap.
        """
        stripes = self.stripes.get(operation.output)
        if not (stripes and stripes.source):
            return [(self.addresses[name], self.planes[name]) for name in operation.inputs]
        first = stripes.source.address - (stripes.reach.first if stripes.n > 1 else 0)
        sets = stripes.source
        return [
            (first + i * sets.map_bytes, replace(sets.planes, zero_point=self.planes[name].zero_point))
            for i, name in enumerate(operation.inputs)
        ]

    def target(self, operation: Operation) -> tuple[int, Planes]:
        """Address and planes of the output as an operation writes it: of stripes in sets, the first set's."""
        stripes = self.stripes.get(operation.output)
        if not (stripes and stripes.target):
            return self.addresses[operation.output], self.planes[operation.output]
        return stripes.target.address, stripes.target.planes
