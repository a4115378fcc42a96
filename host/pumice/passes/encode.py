"""Addressing, weight format, value coding and encoded rows of every layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import CompileError
from ..planes import Planes
from ..spec.coding import CodingRequest, write_row
from ..spec.config import WEIGHT_WORD_BITS, EngineConfig
from ..spec.formats import FORMATS, BitWriter, Steps, WeightFormat
from ..spec.values import VALUE_CODINGS, ValueCoding, count_values
from .cycles import FETCH_CYCLES, MIN_ROW_CYCLES, OVERLAP_CYCLES, count_tiles, n_stored
from .deal import deal
from .operation import Operation
from .plan import Plan

MAX_SLACK = 0.005
"""Of a layer's cycles, the share that a smaller format may cost."""


class BitString(NamedTuple):
    """Part of a stream: ``n_bits`` bits, LSB first."""

    bits: int
    n_bits: int


@dataclass(frozen=True, kw_only=True)
class EncodedRow:
    """A row's header fields (`spec.descriptor.ROW`) and its bits of the two streams."""

    bias: int
    multiplier: int
    shift: int
    row_base: int
    out_address: int
    n_steps: int
    indices: BitString
    values: BitString

    @property
    def n_cycles(self) -> int:
        """Cycles that the row takes in each tile."""
        return max(self.n_steps, MIN_ROW_CYCLES)


def deal_rows(groups: Sequence[list[EncodedRow]], config: EngineConfig) -> list[list[EncodedRow]]:
    """Rows of each core, with about as many cycles; groups stay together."""
    costs = [sum(row.n_cycles for row in group) for group in groups]
    return [[row for i in core for row in groups[i]] for core in deal(costs, config.n_cores)]


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedLayer:
    """A layer's rows before they are dealt to cores; fields as in `spec.descriptor.LAYER`.

    ``groups``: rows that share an index and stay neighbours; single rows in most formats.
    """

    operation: Operation
    format: WeightFormat
    values: ValueCoding
    flat: bool
    n_channels: int
    channel_pitch: int
    taps: list[int]
    groups: list[list[EncodedRow]]

    @property
    def rows(self) -> list[EncodedRow]:
        """All rows."""
        return [row for group in self.groups for row in group]

    @property
    def coding(self) -> str:
        """Format with its parameters, and value coding: what `CodingRequest.parse` reads."""
        return str(self.format) + (f"+{self.values.name}" if self.values.table else "")

    @property
    def n_table_words(self) -> int:
        """Words of the tap table and the value table in a segment."""
        return -(-len(self.taps) // 2) + 8 * len(self.values.table) // WEIGHT_WORD_BITS

    @property
    def n_positions(self) -> int:
        """Positions of a row."""
        return len(self.taps) if self.flat else len(self.taps) * self.n_channels


@dataclass(frozen=True, eq=False)
class _Choice:
    """A way to write a layer, and about what it costs: cycles that depend on it, words of all cores' memories."""

    format: WeightFormat
    values: ValueCoding
    flat: bool
    steps: list[Steps]
    n_cycles: int
    n_words: int


def encode(
    operation: Operation,
    plan: Plan,
    request: CodingRequest | None = None,
    *,
    must: bool = False,
    slack: float = MAX_SLACK,
) -> EncodedLayer:
    """The layer in the smallest of those formats, value codings and addressings that are fast enough.

    Parameters
    ----------
    request : CodingRequest, optional
        Use this format and value coding where they can encode the layer.
    must : bool
        Refuse to use anything else.
    slack : float
        Fast enough is what takes at most ``1 + slack`` times the cycles of the fastest.

    Raises
    ------
    CompileError
        Too many taps, or the forced format cannot encode the layer.
    """
    weights, config = operation.weights, plan.config
    for source in (plan.planes[name] for name in operation.inputs[:1]):
        if weights.shape[2] == source.shape[2]:  # channels behind its own are those of another input of some reader
            weights = weights[:, :, [c for c in source.channels if c < source.shape[2]]]
    n_rows, n_taps, n_channels = weights.shape
    if n_taps > config.max_taps:
        raise CompileError(
            f"layer {operation.name} has {n_taps} taps but the engine's tap table holds {config.max_taps}: "
            "use a smaller kernel (two smaller ones in sequence), or a configuration with more max_taps"
        )
    rows = weights.reshape(n_rows, n_taps * n_channels)

    def choices(wanted: CodingRequest | None) -> list[_Choice]:
        return list(_choices(rows, n_taps, n_channels, operation, plan, wanted))

    found = choices(request)
    if request and must and not found:
        raise CompileError(
            f"layer {operation.name} cannot be encoded as asked: its runs of {n_channels} channels, its "
            f"{n_taps * n_channels} positions or its values do not suit {request.format.name} with "
            f"{request.values.name} values; leave the choice to the compiler"
        )
    found = found or choices(None)
    limit = (1 + slack) * min(choice.n_cycles for choice in found)
    fast = [choice for choice in found if choice.n_cycles <= limit]
    return _encode_as(operation, min(fast, key=lambda choice: (choice.n_words, choice.n_cycles)), n_channels, plan)


def _choices(
    rows: np.ndarray,
    n_taps: int,
    n_channels: int,
    operation: Operation,
    plan: Plan,
    request: CodingRequest | None,
) -> Iterator[_Choice]:
    """Every way to write a layer that ``request`` allows."""
    config, output = plan.config, plan.planes[operation.output]
    n_tiles, n_repeats = count_tiles(n_stored(operation, output), config), len(_starts(operation, output))
    addressings = [(False, n_channels)]
    if n_taps * n_channels <= config.max_taps:
        addressings.append((True, n_taps * n_channels))
    for flat, run in addressings:
        run = max(1, run)
        n_tap_words = -(-(n_taps * n_channels if flat else n_taps) // 2)
        for format in _formats(rows, run, request):
            if not format.supports(rows, run):
                continue
            groups = [format.steps(rows[group], run) for group in _in_groups(len(rows), format.group)]
            steps = [s for group in groups for s in group]
            costs = [
                sum(max(MIN_ROW_CYCLES, len(s.advance)) for s in group) for group in groups for _ in range(n_repeats)
            ]
            n_issue_cycles = n_tiles * max(sum(costs[i] for i in core) for core in deal(costs, config.n_cores))
            counts = count_values(np.concatenate([s.weight[s.has_value] for s in steps]))
            n_index_bits = sum(int(s.index_bits.sum()) for s in steps)
            for value_class in [request.values] if request else VALUE_CODINGS.values():
                values = value_class.fit(counts)
                if values is not None:
                    n_bits = (n_index_bits + int(counts @ values.lengths)) * n_repeats
                    n_table_words = n_tap_words + 8 * len(values.table) // WEIGHT_WORD_BITS
                    n_words = -(-n_bits // WEIGHT_WORD_BITS) + n_table_words * config.n_cores
                    n_fetch_cycles = max(0, FETCH_CYCLES + n_table_words - OVERLAP_CYCLES)
                    yield _Choice(format, values, flat, steps, n_fetch_cycles + n_issue_cycles, n_words)


def _formats(rows: np.ndarray, run: int, request: CodingRequest | None) -> list[WeightFormat]:
    if request and request.fixed:
        return [request.fixed]
    return [f for name in ([request.format] if request else FORMATS.values()) for f in name.candidates(rows, run)]


def _encode_as(operation: Operation, choice: _Choice, n_channels: int, plan: Plan) -> EncodedLayer:
    views = plan.sources(operation)
    bases, sources = [address for address, _ in views], [planes for _, planes in views]
    taps = [bases[tap.source] - bases[0] + sources[tap.source].tap_offset(tap.dy, tap.dx) for tap in operation.taps]
    channel_pitch = sources[0].channel_pitch if sources else 0
    if choice.flat:
        taps = [tap + c * channel_pitch for tap in taps for c in range(n_channels)]
    bias = operation.folded_bias([source.zero_point for source in sources])
    out_base, output = plan.target(operation)
    sy, sx = operation.stride
    memory_bytes = plan.config.activation_bytes  # addresses wrap there

    def encoded_row(m: int, y: int, x: int) -> EncodedRow:
        streams = BitWriter(), BitWriter()
        write_row(choice.steps[m], choice.values, *streams)
        indices, values = (BitString(int.from_bytes(s.to_bytes(), "little"), s.n_bits) for s in streams)
        row_base = bases[0] + _first_plane(sources[0], int(operation.first_channel[m])) if sources else 0
        out_address = out_base + output.channel_offset(int(operation.channel[m]))
        return EncodedRow(
            bias=int(bias[m]),
            multiplier=int(operation.multiplier[m]),
            shift=int(operation.shift[m]),
            row_base=(row_base + sources[0].tap_offset(y * sy, x * sx)) % memory_bytes if sources else 0,
            out_address=out_address + output.tap_offset(y, x),
            n_steps=len(choice.steps[m].advance),
            indices=indices,
            values=values,
        )

    return EncodedLayer(
        operation=operation,
        format=choice.format,
        values=choice.values,
        flat=choice.flat,
        n_channels=max(1, len(taps) if choice.flat else n_channels),
        channel_pitch=channel_pitch,
        taps=taps,
        groups=[
            [encoded_row(m, y, x) for m in group]
            for group in _in_groups(len(choice.steps), choice.format.group)
            for y, x in _starts(operation, output)
        ],
    )


def _starts(operation: Operation, output: Planes) -> list[tuple[int, int]]:
    """Output positions at which a row of weights starts to be computed, each taking a row of the row table."""
    height, width, _ = output.shape
    if operation.scattered:
        return [(y, x) for y in range(height) for x in range(width)]
    return [(0, 0)]


def _first_plane(source: Planes, channel: int) -> int:
    """Where a row that starts at ``channel`` starts to read; its weights for channels without a plane are left out."""
    return source.channel_offset(channel) if channel in source.channels else source.gap_bytes


def _in_groups(n_rows: int, size: int) -> list[range]:
    return [range(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]
