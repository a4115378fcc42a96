"""Figures of the layers of one run."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph import Layer
from ..spec.config import EngineConfig
from ..spec.descriptor import LOG_COUNTERS

STALLS = tuple(name.removeprefix("stall_") for name, _ in LOG_COUNTERS if name.startswith("stall_"))
"""Causes of cycles in which a core issues no step; each is explained in `LOG_COUNTERS`."""


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One layer of one run.

    Attributes
    ----------
    name, kind, format : str
        ``kind`` as in the compiler's operations; ``format`` of the weights.
    density : float
        Non-zero weights over weight positions of the rows that are computed.
    cycles : int
        Engine clock cycles.
    nonzero_macs, dense_macs : int
        Multiply-accumulates with non-zero weights that were done; those of the layer as the model states it.
    utilisation : float
        ``nonzero_macs / (lanes * cores * cycles)``.
    weight_bytes : int
        All that the cores need for the layer: streams, row tables, tap tables.
    bits_per_weight : float
        ``weight_bytes`` in bits over the weights that the model states.
    stalls : dict of str to int
        Core cycles without a step, by cause.
    stall_share : float
        Their share of all core cycles.
    where : str
        ``engine`` or ``host``, of whose layers only name and kind are known.
    """

    name: str
    kind: str
    format: str
    density: float
    cycles: int
    nonzero_macs: int
    dense_macs: int
    utilisation: float
    weight_bytes: int
    bits_per_weight: float
    stalls: dict[str, int]
    stall_share: float
    where: str = "engine"


def layer_reports(
    descriptions: Sequence[dict], log: Sequence[dict[str, int]], config: EngineConfig
) -> tuple[LayerReport, ...]:
    """Join what the compiler says of the layers with what the engine counted.

    Parameters
    ----------
    descriptions : sequence of dict
        An image's ``layers``.
    log : sequence of dict
        Counters of each layer command, by tag.
    """
    return tuple(_layer_report(d, [log[tag] for tag in d["tags"]], config) for d in descriptions)


def host_report(layer: Layer) -> LayerReport:
    """A layer that ran on the host."""
    return LayerReport(
        name=layer.name,
        kind=getattr(layer, "kind", type(layer).__name__.lower()),
        format="",
        density=0.0,
        cycles=0,
        nonzero_macs=0,
        dense_macs=0,
        utilisation=0.0,
        weight_bytes=0,
        bits_per_weight=0.0,
        stalls=dict.fromkeys(STALLS, 0),
        stall_share=0.0,
        where="host",
    )


def _layer_report(d: dict, entries: list[dict[str, int]], config: EngineConfig) -> LayerReport:
    cycles = sum(entry["cycles"] for entry in entries)
    stalls = {cause: sum(entry[f"stall_{cause}"] for entry in entries) for cause in STALLS}
    height, width, _ = d["output_shape"]
    n_weights = d["dense_macs"] / (height * width)
    return LayerReport(
        name=d["name"],
        kind=d["kind"],
        format=d["format"],
        density=d["density"],
        cycles=cycles,
        nonzero_macs=d["nonzero_macs"],
        dense_macs=d["dense_macs"],
        utilisation=share(d["nonzero_macs"], config.n_multipliers * cycles),
        weight_bytes=d["weight_bytes"],
        bits_per_weight=share(8 * d["weight_bytes"], n_weights),
        stalls=stalls,
        stall_share=share(sum(stalls.values()), config.n_cores * cycles),
    )


def share(part: float, whole: float) -> float:
    """``part / whole``; 0 where there is nothing."""
    return part / whole if whole else 0.0
