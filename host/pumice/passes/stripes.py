"""Striped layers: fully connected layers of one sample that run on all lanes (`spec.stripes`)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..spec.config import EngineConfig
from ..spec.stripes import PACKED_ROWS, byte_slots, pair_slots
from .cycles import predict_issue, predict_striped
from .deal import deal
from .encode import BitString, EncodedLayer, EncodedRow
from .operation import Operation
from .plan import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class StripedRow(EncodedRow):
    """A row with its weights by bank row of the vector and lane; without steps in a stream.

    ``columns``: int8, (vectors, lanes).
    """

    columns: np.ndarray

    @property
    def n_cycles(self) -> int:
        """Non-zeros: what the row adds to its core's slots."""
        return int(np.count_nonzero(self.columns))


@dataclass(frozen=True, kw_only=True, eq=False)
class StripedLayer(EncodedLayer):
    """A layer whose groups are the rows of one write, and whose weights are slots.

    Attributes
    ----------
    vector_address : int
        Byte address of the bank row in which the input begins.
    n_vectors : int
        Bank rows of the input.
    pairs : bool
        Slots come as pairs.
    n_packed : int
        Rows of one write.
    """

    vector_address: int
    n_vectors: int
    pairs: bool
    n_packed: int

    @property
    def coding(self) -> str:
        """How the slots are written."""
        return "stripes, pairs" if self.pairs else "stripes"

    @property
    def n_positions(self) -> int:
        """Weights of a row that the layer's operation has."""
        return self.operation.weights.shape[1] * self.operation.weights.shape[2]

    def slots(self, rows: Sequence[EncodedRow]) -> np.ndarray:
        """Slots of a core with these rows: uint8, (slots, lanes)."""
        columns = np.array([row.columns for row in rows if isinstance(row, StripedRow)], np.int8)
        if not len(rows):
            return np.zeros((0, columns.shape[-1]), np.uint8)
        return pair_slots(columns) if self.pairs else byte_slots(columns)


def stripe(layers: list[EncodedLayer], plan: Plan, free: range) -> list[EncodedLayer]:
    """Layers with those striped that gain most a byte, as far as bytes ``free`` of the activation memory hold slots."""
    config = plan.config
    gains = []
    for i, layer in enumerate(layers):
        if is_possible(layer.operation, plan):
            striped = min((_striped(layer, plan, pairs) for pairs in (False, True)), key=lambda s: _cost(s, config))
            n_slots, n_cycles = _cost(striped, config)
            saved = predict_issue(layer, config) - n_cycles
            if striped.n_vectors <= config.stripe_depth and saved > 0:
                gains.append((saved / n_slots, i, striped, n_slots * config.n_lanes))
    chosen = list(layers)
    left = len(free)
    for _, i, striped, n_bytes in sorted(gains, key=lambda gain: -gain[0]):
        if n_bytes <= left:
            chosen[i] = striped
            left -= n_bytes
    return chosen


def is_possible(operation: Operation, plan: Plan) -> bool:
    """Whether the layer makes sums at one position of a linear output from what lies in one range of bytes."""
    output = plan.planes[operation.output]
    return bool(
        operation.inputs
        and operation.output not in plan.bands
        and output.shape[:2] == (1, 1)
        and output.phases == (1, 1)
        and not operation.is_max
        and not operation.lane_sum
        # Two weights for one value, as an addition may have, would be one column.
        and len(set(operation.taps)) == len(operation.taps)
    )


def _cost(layer: StripedLayer, config: EngineConfig) -> tuple[int, int]:
    """Slots of the longest core, and cycles."""
    costs = [sum(row.n_cycles for row in group) for group in layer.groups]
    cores = [[row for i in core for row in layer.groups[i]] for core in deal(costs, config.n_cores)]
    n_slots = max(len(layer.slots(rows)) for rows in cores if rows)
    return n_slots, predict_striped(layer.n_vectors, n_slots, max(map(len, cores)))


def _striped(layer: EncodedLayer, plan: Plan, pairs: bool) -> StripedLayer:
    config, operation = plan.config, layer.operation
    n_lanes = config.n_lanes
    weights = operation.weights
    source = plan.planes[operation.inputs[0]]
    if weights.shape[2] == source.shape[2]:
        weights = weights[:, :, list(source.channels)]
    n_channels = weights.shape[2]
    taps = layer.taps[:: n_channels if layer.flat else 1]
    offsets = np.add.outer(np.array(taps, int), np.arange(n_channels) * source.channel_pitch)
    addresses = np.array([row.row_base for row in layer.rows])[:, None, None] + offsets
    used = weights != 0
    first, last = (int(f(addresses[used])) if used.any() else 0 for f in (np.min, np.max))
    vector = first // n_lanes
    n_vectors = last // n_lanes - vector + 1
    rows = []
    kept = {f.name for f in fields(EncodedRow)} - {"n_steps", "indices", "values"}
    for m, row in enumerate(layer.rows):
        columns = np.zeros(n_vectors * n_lanes, np.int8)
        columns[addresses[m][used[m]] - vector * n_lanes] = weights[m][used[m]]
        nothing = BitString(0, 0)
        rows.append(
            StripedRow(
                **{name: getattr(row, name) for name in kept},
                n_steps=0,
                indices=nothing,
                values=nothing,
                columns=columns.reshape(n_vectors, n_lanes),
            )
        )
    in_order = all(b.out_address == a.out_address + 1 for a, b in itertools.pairwise(rows))
    # Of rows in one write, as many as leave something for every core.
    n_packed = min(PACKED_ROWS, 1 << (max(1, len(rows) // config.n_cores).bit_length() - 1)) if in_order else 1
    return StripedLayer(
        operation=operation,
        format=layer.format,
        values=layer.values,
        flat=False,
        n_channels=1,
        channel_pitch=0,
        taps=[],
        groups=[rows[i : i + n_packed] for i in range(0, len(rows), n_packed)],
        vector_address=vector * n_lanes,
        n_vectors=n_vectors,
        pairs=pairs,
        n_packed=n_packed,
    )
