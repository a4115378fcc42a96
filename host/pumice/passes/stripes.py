"""Striped layers: fully connected layers of one sample that run on all lanes (`spec.stripes`)."""

import bisect
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ..errors import CompileError
from ..spec.config import EngineConfig
from ..spec.stripes import PACKED_ROWS, byte_slots, pair_slots
from .cycles import predict_issue, predict_striped, striped_rest, transfer_cycles
from .encode import BitString, EncodedLayer, EncodedRow, deal_rows
from .operation import Operation
from .plan import Plan

STRIPES = "stripes"
"""How a striped layer is asked for, where others name a weight format."""


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
    cuts : tuple of int
        Groups before which the layer is cut into passes.
    streamed : frozenset of int
        Passes whose slots come in every run; those of the others stay.
    n_head, n_tail : int
        Bytes a core, whole bank rows, that come in every run in front of slots that stay, or behind them; 0 in a layer
        with cuts.
    """

    vector_address: int
    n_vectors: int
    pairs: bool
    n_packed: int
    cuts: tuple[int, ...] = ()
    streamed: frozenset[int] = frozenset()
    n_head: int = 0
    n_tail: int = 0

    @property
    def parts(self) -> list[range]:
        """Numbers of the groups of each pass."""
        return [range(a, b) for a, b in itertools.pairwise([0, *self.cuts, len(self.groups)])]

    @property
    def coding(self) -> str:
        """How the slots are written."""
        return f"{STRIPES}, pairs" if self.pairs else STRIPES

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


def stripe(
    layers: list[EncodedLayer], plan: Plan, free: range, names: Collection[str] = (), *, pairs: bool = True
) -> list[EncodedLayer]:
    """Layers with those striped that gain most a byte, as far as bytes ``free`` of the activation memory hold slots.

    Where one more would nearly fit, two or three layers share a place (`_share`). Layers in ``names`` are striped in
    any case; in parts that stream if they do not fit. Without ``pairs`` all slots are bytes, one for each weight.

    Raises
    ------
    CompileError
        A layer in ``names`` cannot be striped.
    """
    config = plan.config
    chosen, gains = list(layers), []
    for i, layer in enumerate(layers):
        name, must = layer.operation.name, layer.operation.name in names
        striped = None
        if is_possible(layer.operation, plan):
            striped = min((_striped(layer, plan, p) for p in {False, pairs}), key=lambda s: _cost(s, config))
        if striped and striped.n_vectors <= config.stripe_depth:
            n_slots, n_cycles = _cost(striped, config)
            saved = predict_issue(layer, config) - n_cycles
            if must or saved > 0:
                gains.append((not must, -saved / n_slots, i, striped, n_slots * config.n_lanes, saved))
        elif must:
            raise CompileError(
                f"layer {name} cannot be striped: it must make one position from at most "
                f"{config.stripe_depth * config.n_lanes} neighbouring bytes; leave its format to the compiler"
            )
    gains.sort(key=lambda gain: gain[:3])
    left, total_saved = len(free), 0
    for is_choice, _, i, striped, n_bytes, saved in gains:
        if n_bytes <= left:
            chosen[i] = striped
            left -= n_bytes
            total_saved += saved
        elif not is_choice:
            chosen[i], left = _streamed(striped, left, config), 0
    if left == 0 or any(isinstance(layer, StripedLayer) and layer.streamed for layer in chosen):
        return chosen
    # More layers, some of which share a place.
    more, n_bytes, saved = list(layers), 0, 0
    for _, _, i, striped, n_layer_bytes, layer_saved in gains:
        more[i] = striped
        n_bytes, saved = n_bytes + n_layer_bytes, saved + layer_saved
        if n_bytes > len(free) and (shared := _share(more, n_bytes - len(free), config)):
            result, cost = shared
            if saved - cost > total_saved:
                chosen, total_saved = result, saved - cost
    return chosen


def _streamed(layer: StripedLayer, n_bytes: int, config: EngineConfig) -> StripedLayer:
    """The layer in the fewest equal parts two of which fit in ``n_bytes`` a core."""
    n_groups = len(layer.groups)
    first = 2 * _n_slots(layer, layer.groups, config) * config.n_lanes // n_bytes
    for n_parts in range(max(2, first), n_groups + 1):
        numbers = np.array_split(np.arange(n_groups), n_parts)
        if (
            max(_n_slots(layer, layer.groups[a[0] : a[-1] + 1], config) for a in numbers) * config.n_lanes
            <= n_bytes // 2
        ):
            return replace(layer, cuts=tuple(int(a[0]) for a in numbers[1:]), streamed=frozenset(range(n_parts)))
    raise CompileError(
        f"layer {layer.operation.name}: slots of a few rows do not fit in half of the {n_bytes} bytes that are free in "
        "activation memory; leave its format to the compiler, or use a configuration with more bank_depth"
    )


def _share(layers: list[EncodedLayer], n_bytes: int, config: EngineConfig) -> tuple[list[EncodedLayer], int] | None:
    """Layers two or three of which stream slots to one place, which saves ``n_bytes`` or more a core.

    The first of them streams the head of its slots; what stays lies behind the place. Of three the second streams the
    tail, and what stays lies in front of the place. Both wait for their slots. The last one streams the tail as well,
    for which a pass of its own waits. The slots of each come when the one before it has run.
    The second value is what the waiting and the pass cost, in cycles. None: no layers are large enough.
    """
    n_cycles = [_n_cycles(layer, config) for layer in layers]
    ends = list(itertools.accumulate(n_cycles))
    best = None
    for n_sharing in (2, 3):
        n_slots = -(-n_bytes // (n_sharing - 1) // config.n_lanes)
        n_place = n_slots * config.n_lanes
        striped = {
            i: layer for i, layer in enumerate(layers)
            if isinstance(layer, StripedLayer) and _n_slots(layer, layer.groups, config) > n_slots
        }  # fmt: skip
        tails = {i: tail for i, layer in striped.items() if (tail := _cut_tail(layer, n_place, config))}
        for *others, last in itertools.combinations(striped, n_sharing):
            if last not in tails:
                continue
            cut, n_cut = tails[last]
            visits = [(ends[i] - n_cycles[i], ends[i], n_place) for i in others] + [(ends[last], ends[last], n_cut)]
            cost = _waiting(visits, config) + striped_rest(config)
            if best is None or cost < best[1]:
                first, *middle = others
                parts = {first: replace(striped[first], n_head=n_place), last: cut}
                parts |= {i: replace(striped[i], n_tail=n_place) for i in middle}
                best = [parts.get(i, layer) for i, layer in enumerate(layers)], cost
    return best


def _waiting(visits: list[tuple[int, int, int]], config: EngineConfig) -> int:
    """Cycles that layers wait for slots which come to one place, each when the one before it has run.

    ``visits``: when a layer needs its slots, when it ends, both as if nothing waited, and the bytes a core.
    """
    waited, free = 0, 0
    for needed, end, n_bytes in visits:
        arrived = free + transfer_cycles(config.n_cores, n_bytes)
        waited += max(0, arrived - waited - needed)
        free = max(arrived, end + waited)
    return waited


def _cut_tail(layer: StripedLayer, n_bytes: int, config: EngineConfig) -> tuple[StripedLayer, int] | None:
    """The layer with as few of its last groups streamed as save ``n_bytes`` a core, and the bytes that stream."""
    wanted = _n_slots(layer, layer.groups, config) - -(-n_bytes // config.n_lanes)
    cuts = range(1, len(layer.groups))
    # More groups have more slots, but for how they happen to be dealt to the cores.
    cut = bisect.bisect_right(cuts, wanted, key=lambda n: _n_slots(layer, layer.groups[:n], config))
    if cut == 0:
        return None
    n_streamed = _n_slots(layer, layer.groups[cut:], config) * config.n_lanes
    return replace(layer, cuts=(cut,), streamed=frozenset({1})), n_streamed


def _n_cycles(layer: EncodedLayer, config: EngineConfig) -> int:
    """About the cycles of a layer in one tile."""
    return (
        _cost(layer, config)[1] + striped_rest(config)
        if isinstance(layer, StripedLayer)
        else predict_issue(layer, config)
    )


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
    n_slots = _n_slots(layer, layer.groups, config)
    n_rows = max(map(len, deal_rows(layer.groups, config)))
    return n_slots, predict_striped(layer.n_vectors, n_slots, n_rows)


def _n_slots(layer: StripedLayer, groups: Sequence[list[EncodedRow]], config: EngineConfig) -> int:
    """Of the longest core, with some groups."""
    return max(len(layer.slots(rows)) for rows in deal_rows(groups, config) if rows)


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
