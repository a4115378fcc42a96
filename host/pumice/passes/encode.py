"""Addressing, weight format and encoded rows of every layer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import CompileError
from ..planes import Planes
from ..spec.config import WEIGHT_WORD_BITS, EngineConfig
from ..spec.formats import FORMATS, BitWriter, WeightFormat
from .cycles import MIN_ROW_CYCLES
from .operation import Operation
from .plan import Plan


@dataclass(frozen=True, kw_only=True)
class EncodedRow:
    """A row's header fields (`spec.descriptor.ROW`) and its bits of the stream, LSB first."""

    bias: int
    multiplier: int
    shift: int
    row_base: int
    out_address: int
    n_steps: int
    bits: int
    n_bits: int

    @property
    def n_cycles(self) -> int:
        """Cycles that the row takes in each tile."""
        return max(self.n_steps, MIN_ROW_CYCLES)


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedLayer:
    """A layer's rows before they are dealt to cores; fields as in `spec.descriptor.LAYER`."""

    operation: Operation
    format: WeightFormat
    flat: bool
    n_channels: int
    channel_pitch: int
    taps: list[int]
    rows: list[EncodedRow]

    @property
    def n_positions(self) -> int:
        """Positions of a row."""
        return len(self.taps) if self.flat else len(self.taps) * self.n_channels

    @property
    def n_tap_words(self) -> int:
        """Words of the tap table in a segment."""
        return -(-len(self.taps) // 2)

    @cached_property
    def n_stream_bits(self) -> int:
        """Bits of all rows."""
        return sum(row.n_bits for row in self.rows)


def encode(
    operation: Operation,
    plan: Plan,
    format_name: str | None = None,
    *,
    must: bool = False,
) -> EncodedLayer:
    """The layer in the format and addressing with the fewest words of weight memory.

    Parameters
    ----------
    format_name : str, optional
        Use this format where it can encode the layer.
    must : bool
        Refuse to use another format than ``format_name``.

    Raises
    ------
    CompileError
        Too many taps, or the forced format cannot encode the layer.
    """
    weights, config = operation.weights, plan.config
    for source in (plan.planes[name] for name in operation.inputs[:1]):
        if weights.shape[2] == source.shape[2]:
            weights = weights[:, :, list(source.channels)]
    n_rows, n_taps, n_channels = weights.shape
    choices = _choices(n_taps, n_channels, config)
    if not choices:
        raise CompileError(
            f"layer {operation.name} has {n_taps} taps but the engine's tap table holds {config.max_taps}: "
            "use a smaller kernel (two smaller ones in sequence), or a configuration with more max_taps"
        )
    forced = [choice for choice in choices if choice[0].name == format_name]
    if must and not forced:
        raise CompileError(
            f"layer {operation.name} cannot be encoded as {format_name}: its runs of {n_channels} channels or its "
            f"{n_taps * n_channels} positions do not suit that format; leave the choice to the compiler"
        )
    rows = weights.reshape(n_rows, n_taps * n_channels)

    def encode_as(format: WeightFormat, flat: bool) -> EncodedLayer:
        return _encode_as(operation, rows, n_channels, format, flat, plan)

    def n_words(layer: EncodedLayer) -> tuple[int, int]:
        n_stream_words = -(-layer.n_stream_bits // WEIGHT_WORD_BITS)
        return n_stream_words + config.n_cores * layer.n_tap_words, sum(row.n_cycles for row in layer.rows)

    return min((encode_as(*choice) for choice in forced or choices), key=n_words)


def _choices(n_taps: int, n_channels: int, config: EngineConfig) -> list[tuple[WeightFormat, bool]]:
    """Formats and addressing (flat or not) that can encode rows of ``n_taps * n_channels`` positions."""
    by_channel = n_taps <= config.max_taps
    flat = n_taps * n_channels <= config.max_taps
    return [
        (format, is_flat)
        for format in FORMATS.values()
        for is_flat, possible, run in ((False, by_channel, n_channels), (True, flat, n_taps * n_channels))
        if possible and format.supports(max(run, 1))
    ]


def _encode_as(
    operation: Operation, rows: np.ndarray, n_channels: int, format: WeightFormat, flat: bool, plan: Plan
) -> EncodedLayer:
    views = plan.sources(operation)
    bases, sources = [address for address, _ in views], [planes for _, planes in views]
    taps = [bases[tap.source] - bases[0] + sources[tap.source].tap_offset(tap.dy, tap.dx) for tap in operation.taps]
    channel_pitch = sources[0].channel_pitch if sources else 0
    if flat:
        taps = [tap + c * channel_pitch for tap in taps for c in range(n_channels)]
    run = max(1, len(taps) if flat else n_channels)
    bias = operation.folded_bias([source.zero_point for source in sources])
    out_base, output = plan.target(operation)
    encoded = []
    starts = _starts(operation, output)
    sy, sx = operation.stride
    memory_bytes = plan.config.activation_bytes  # addresses wrap there
    for m, row in enumerate(rows):
        bits = BitWriter()
        n_steps = format.encode(row, run, bits)
        row_base = bases[0] + _first_plane(sources[0], int(operation.first_channel[m])) if sources else 0
        out_address = out_base + output.channel_offset(int(operation.channel[m]))
        encoded += [
            EncodedRow(
                bias=int(bias[m]),
                multiplier=int(operation.multiplier[m]),
                shift=int(operation.shift[m]),
                row_base=(row_base + sources[0].tap_offset(y * sy, x * sx)) % memory_bytes if sources else 0,
                out_address=out_address + output.tap_offset(y, x),
                n_steps=n_steps,
                bits=int.from_bytes(bits.to_bytes(), "little"),
                n_bits=bits.n_bits,
            )
            for y, x in starts
        ]
    return EncodedLayer(
        operation=operation,
        format=format,
        flat=flat,
        n_channels=run,
        channel_pitch=channel_pitch,
        taps=taps,
        rows=encoded,
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
