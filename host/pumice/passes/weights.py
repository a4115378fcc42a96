"""Weight segments: what stays in weight memory, what streams through it, and in how many passes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np

from ..errors import CompileError
from ..spec.config import WEIGHT_WORD_BITS, EngineConfig
from ..spec.descriptor import PREAMBLE, ROW
from ..spec.formats import BitWriter
from .cycles import DRAIN_CYCLES
from .encode import BitString, EncodedLayer, EncodedRow, deal_rows
from .stripes import StripedLayer

WORD_BYTES = WEIGHT_WORD_BITS // 8


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerPass:
    """One LAYER command: some rows of a layer (all, unless it streams in parts), dealt to cores.

    Attributes
    ----------
    layer : EncodedLayer
    part, n_parts : int
        Which of the layer's passes this is.
    cores : list of list of EncodedRow
        Rows of each core.
    address : int
        Word address of the segments.
    n_slots : list of int
        Slots of each core, none but in a striped layer.
    slots : list of bytes
        Slots of each core of a striped layer.
    slot_address : int
        Byte address of the slots.
    streamed : bool
        Whether the segments are transferred in each run.
    streamed_range : range
        Bytes of each core's slots that are: the first ones, the last ones, or all.
    """

    layer: EncodedLayer
    part: int
    n_parts: int
    cores: list[list[EncodedRow]]
    n_slots: list[int]
    slots: list[bytes]
    address: int = 0
    slot_address: int = 0
    streamed: bool = False
    streamed_range: range = range(0)

    @property
    def streamed_slots(self) -> list[bytes]:
        """Slots of each core that each run reads again."""
        return [slots[self.streamed_range.start : self.streamed_range.stop] for slots in self.slots]

    @property
    def resident_slots(self) -> list[bytes]:
        """Slots of each core that stay, in front of the others or behind them."""
        return [slots[: self.streamed_range.start] + slots[self.streamed_range.stop :] for slots in self.slots]

    @property
    def resident_address(self) -> int:
        """Byte address of the slots that stay."""
        return self.slot_address + (0 if self.streamed_range.start else self.streamed_range.stop)

    @property
    def streamed_place(self) -> range:
        """Byte addresses of the slots that do not."""
        return range(self.slot_address + self.streamed_range.start, self.slot_address + self.streamed_range.stop)

    @property
    def streamed_bytes(self) -> int:
        """Bytes that each run reads again, of all cores."""
        return self.streamed * sum(map(len, self.segments)) + sum(map(len, self.streamed_slots))

    @cached_property
    def segments(self) -> list[bytes]:
        """Weight segment of each core."""
        return [_segment(self.layer, rows, n) for rows, n in zip(self.cores, self.n_slots, strict=True)]

    @cached_property
    def n_words(self) -> int:
        """Words of the longest segment, which may be more than any memory holds."""
        return max(_segment_words(self.layer, rows, n) for rows, n in zip(self.cores, self.n_slots, strict=True))

    @property
    def n_vectors(self) -> int:
        """Bank rows of a striped layer's input; 0 for other layers."""
        return self.layer.n_vectors if isinstance(self.layer, StripedLayer) else 0


def place_weights(layers: list[EncodedLayer], config: EngineConfig) -> tuple[list[LayerPass], int]:
    """Passes with their addresses in order of execution, and the number of words that stay resident.

    Everything stays if it fits. Otherwise two equal staging areas at the end of weight memory take turns, of the size
    that costs least: a cycle a streamed word (the DMA's rate), and the start of each pass.

    Raises
    ------
    CompileError
        A layer's tap table and longest row do not fit in half of the weight memory.
    """
    whole = [make_passes(layer, 1, config) for layer in layers]
    sizes = [sum(p.n_words for p in passes) for passes in whole]
    if sum(sizes) <= config.weight_depth:
        return _place(whole, set(range(len(layers))), 0, 0)
    half = config.weight_depth // 2
    # Worth trying: as long as a segment, and as long as the largest segments leave room for.
    kept = [(config.weight_depth - n) // 2 for n in accumulate(sorted(sizes, reverse=True))]
    plans = []
    for staging in {half} | {n for n in sizes + kept if 0 < n < half}:
        resident = _largest_that_fit(sizes, config.weight_depth - 2 * staging)
        streamed = [n for i, n in enumerate(sizes) if i not in resident]
        cost = config.n_cores * sum(streamed) + DRAIN_CYCLES * sum(-(-n // staging) for n in streamed)
        plans.append((cost, staging, resident))
    for _, staging, resident in sorted(plans, key=lambda plan: plan[:2]):
        split = [
            passes if i in resident or all(p.n_words <= staging for p in passes) else _split(layers[i], staging, config)
            for i, passes in enumerate(whole)
        ]
        if all(split):
            return _place(split, resident, config.weight_depth - 2 * staging, staging)
    largest = layers[int(np.argmax(sizes))].operation.name
    raise CompileError(
        f"layer {largest}: a single row with its tap table is larger than a staging area of {half} words, half of the "
        "weight memory; use a configuration with more weight_depth"
    )


def make_passes(layer: EncodedLayer, n_parts: int, config: EngineConfig) -> list[LayerPass]:
    """The layer cut into ``n_parts`` parts, each dealt to all cores; rows that share an index stay neighbours.

    A striped layer that has its own cuts keeps to them.
    """
    passes, parts = [], np.array_split(np.arange(len(layer.groups)), n_parts)
    if isinstance(layer, StripedLayer) and layer.cuts:
        parts = layer.parts
    for part, numbers in enumerate(parts):
        cores = deal_rows([layer.groups[i] for i in numbers], config)
        slots = [layer.slots(core).tobytes() for core in cores] if isinstance(layer, StripedLayer) else []
        passes.append(
            LayerPass(
                layer=layer,
                part=part,
                n_parts=len(parts),
                cores=cores,
                n_slots=[len(s) // config.n_lanes for s in slots] or [0] * config.n_cores,
                slots=slots,
                streamed_range=_streamed_range(layer, part, slots),
            )
        )
    return passes


def _streamed_range(layer: EncodedLayer, part: int, slots: list[bytes]) -> range:
    """Bytes of each core's slots that stream."""
    if not isinstance(layer, StripedLayer):
        return range(0)
    n_bytes = max(map(len, slots))
    if part in layer.streamed:
        return range(n_bytes)
    return range(n_bytes - layer.n_tail, n_bytes) if layer.n_tail else range(layer.n_head)


def place_slots(passes: list[LayerPass], free: range) -> list[LayerPass] | None:
    """Passes with the addresses of their slots, bytes of ``free``; none if they do not fit.

    Slots that stream have two places that take turns where there is room, else one. What stays of a pass that streams
    in part lies in front of the place or behind it: one pass for each, the place being the only one.
    """
    longest = max(len(p.streamed_range) for p in passes)
    sizes = [max(map(len, p.resident_slots), default=0) for p in passes]
    front, behind = [], []  # sizes of what lies beside the place
    for p, stays in zip(passes, sizes, strict=True):
        if stays and p.streamed_range:
            (front if p.streamed_range.start else behind).append(stays)
    start, end = free.start + sum(sizes) - sum(behind), free.stop - sum(behind)
    n_places = min(1 if front or behind else 2, (end - start) // longest) if longest else 0
    if start > end or (longest and not n_places) or max(len(front), len(behind)) > 1:
        return None
    placed, address, n_streamed = [], free.start, 0
    for p, stays in zip(passes, sizes, strict=True):
        if p.streamed_range:
            place = start + n_streamed % n_places * longest
            n_streamed += 1
            begin = place - p.streamed_range.start
            if stays and not p.streamed_range.start:  # what stays is behind the place, however long the place is
                begin += longest - len(p.streamed_range)
            placed.append(replace(p, slot_address=begin))
        else:
            placed.append(replace(p, slot_address=address) if p.slots else p)
            address += stays
    return placed


def _segment_words(layer: EncodedLayer, rows: list[EncodedRow], n_slots: int) -> int:
    """Words of one core's segment."""
    if not rows:
        return PREAMBLE.n_words
    n_bits = sum(row.indices.n_bits for row in rows), sum(row.values.n_bits for row in rows)
    n_table_bytes = 4 * len(layer.taps), 0 if n_slots else len(layer.values.table)
    n_tables = sum(-(-n // WORD_BYTES) for n in n_table_bytes)
    return PREAMBLE.n_words + n_tables + ROW.n_words * len(rows) + sum(-(-n // WEIGHT_WORD_BITS) for n in n_bits)


def _segment(layer: EncodedLayer, rows: list[EncodedRow], n_slots: int) -> bytes:
    """Preamble, taps, value table, row table and streams of one core."""
    if not rows:
        return _word_bytes(PREAMBLE.pack(n_taps=0, n_rows=0, n_table_words=0, n_index_words=0, n_value_words=0))
    indices, values = (_stream(strings) for strings in zip(*((row.indices, row.values) for row in rows), strict=True))
    value_table = b"" if n_slots else layer.values.table
    words = PREAMBLE.pack(
        n_taps=len(layer.taps),
        n_rows=len(rows),
        n_table_words=len(value_table) // WORD_BYTES,
        n_index_words=n_slots or len(indices) // WORD_BYTES,
        n_value_words=len(values) // WORD_BYTES,
    )
    taps = np.array(layer.taps, "<i4").tobytes()
    table = []
    for i, row in enumerate(rows):
        header = {f.name: getattr(row, f.name) for f in ROW.fields if f.name != "last"}
        try:
            table += ROW.pack(**header, last=i == len(rows) - 1)
        except ValueError as error:
            raise CompileError(f"layer {layer.operation.name} is too large for the engine: {error}") from error
    before_rows = _word_bytes(words) + taps + bytes(-len(taps) % WORD_BYTES) + value_table
    return before_rows + _word_bytes(table) + indices + values


def _stream(strings: Iterable[BitString]) -> bytes:
    stream = BitWriter()
    for string in strings:
        stream.put(*string)
    return stream.to_bytes(WORD_BYTES)


def _word_bytes(words: list[int]) -> bytes:
    return np.array(words, "<u8").tobytes()


def _split(layer: EncodedLayer, staging: int, config: EngineConfig) -> list[LayerPass]:
    """The fewest equal parts whose segments fit in ``staging`` words; none if a row does not."""
    n_parts = 2
    while n_parts <= len(layer.groups):
        passes = make_passes(layer, n_parts, config)
        largest = max(p.n_words for p in passes)
        if largest <= staging:
            return passes
        n_parts += max(1, n_parts * (largest - staging) // (2 * staging))
    return []


def _largest_that_fit(sizes: list[int], n_words: int) -> set[int]:
    kept, free = set(), n_words
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if sizes[i] <= free:
            kept.add(i)
            free -= sizes[i]
    return kept


def _place(
    layers: list[list[LayerPass]], resident: set[int], staging_start: int, staging_words: int
) -> tuple[list[LayerPass], int]:
    placed, n_resident, n_streamed = [], 0, 0
    for i, parts in enumerate(layers):
        for p in parts:
            if i in resident:
                placed.append(replace(p, address=n_resident))
                n_resident += p.n_words
            else:
                address = staging_start + n_streamed % 2 * staging_words
                placed.append(replace(p, address=address, streamed=True))
                n_streamed += 1
    return placed, n_resident
