"""The result of one inference."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .layers import LayerReport


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Output and figures of one inference; works as an array of its ``output``.

    Attributes
    ----------
    output : ndarray of float32
        Dequantised, in the shape of the model file's output.
    output_raw : ndarray of int8
        The same as integers.
    outputs, outputs_raw : dict of str to ndarray
        The same for all outputs of the network, by name.
    kind : str
        ``simulated`` (cycles counted by the simulated hardware), ``predicted`` (by the compiler's formula) or
        ``on-board``.
    config : str
        Name of the engine configuration.
    cycles : int
        Engine clock cycles from the doorbell to the interrupt; of samples that ran together, this one's share; of a
        network of several parts their sum, without what it takes to change from one to the next.
    n_together : int
        Samples that ran together, between one doorbell and one interrupt; see `pumice.network.Network.run_many`.
    clock_mhz : float
        The engine's clock: on a board what it runs at, else what the configuration is meant for.
    nonzero_macs, dense_macs : int
        Sums over the layers.
    mac_utilisation : float
        ``nonzero_macs / (lanes * cores * cycles)``.
    weight_bytes : int
        Compressed weights of all layers.
    dram_bytes : int
        Bytes that the engine read and wrote in memory.
    layers : tuple of LayerReport
    """

    output: np.ndarray
    output_raw: np.ndarray
    outputs: dict[str, np.ndarray]
    outputs_raw: dict[str, np.ndarray]
    kind: str
    config: str
    cycles: int
    n_together: int
    clock_mhz: float
    nonzero_macs: int
    dense_macs: int
    mac_utilisation: float
    weight_bytes: int
    dram_bytes: int
    layers: tuple[LayerReport, ...]

    @property
    def top1(self) -> int:
        """Index of the largest output (of the flattened array)."""
        return int(np.argmax(self.output_raw))

    @property
    def latency_ms(self) -> float:
        """Cycles over clock; of samples that ran together, the time from one result to the next."""
        return self.cycles / (1000 * self.clock_mhz)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.output, dtype=dtype, copy=copy)

    def to_json(self) -> dict:
        """Plain data: every attribute and property by its name."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "output": self.output.tolist(),
            "output_raw": self.output_raw.tolist(),
            "outputs": {name: values.tolist() for name, values in self.outputs.items()},
            "outputs_raw": {name: values.tolist() for name, values in self.outputs_raw.items()},
            "top1": self.top1,
            "latency_ms": self.latency_ms,
            "layers": [asdict(layer) for layer in self.layers],
        }


def run_report(results: Sequence[Result]) -> dict:
    """JSON of a run: the first sample's values; of several samples, all of them under ``samples`` as well."""
    report = results[0].to_json()
    if len(results) > 1:
        report["samples"] = [result.to_json() for result in results]
    return report
