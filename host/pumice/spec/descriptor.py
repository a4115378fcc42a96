"""What the compiler writes and the engine reads: layer descriptors, weight segments, row headers, commands, images.

Everything is little-endian; structures in weight memory are made of 64-bit words, all others of 32-bit words. `Packed`
states each field's place once, and gateware layouts, C header and documentation derive from it.

Segment
    What one core needs for one layer, contiguous in its weight memory (64-bit words)::

        preamble (1 word) | taps (ceil(n_taps / 2)) | value table (n_table_words) | row table (2 * n_rows)
        | index stream (n_index_words) | value stream (n_value_words)

    Taps are signed 32-bit byte offsets, two to a word, low half first. The value table belongs to the value coding
    (`pumice.spec.values`; none for plain values) and is the same in all cores that have rows. The index
    stream is the indices of all steps of all rows in table order as one bit string, LSB first, zero-padded to whole
    words; the value stream is the values of those steps that have one, likewise. Both are read again for each tile.
    All cores hold their segment of a layer at the same word address; a core without rows has ``n_rows = 0``.

Layer
    A layer's weights are a sparse matrix of rows (output channels) by positions. Position ``p = tap * n_channels + c``
    (``tap`` slowest) of a row reads activation byte
    ``row_base + taps[tap] + c * channel_pitch + read_offset + W * tile + lane``; with ``flat`` set, position ``p`` reads
    ``row_base + taps[p] + read_offset + W * tile + lane``. Addresses wrap at the activation memory's size.
    Lane ``i`` of tile ``t`` owns output position ``q = W * t + i = y * row_stride + x``; it is valid when
    ``x < width`` and ``q < n_valid``. Positions with ``q < n_store`` are written, invalid ones with the zero point.

    With ``lane_sum``, lane 0's accumulator is the sum of all lanes' (one tile, ``n_store = 1``): a whole plane is summed
    up a vector at a time.

    Linear store: position ``q`` of a row goes to byte ``out_address + write_offset + q``.
    Phase store: to ``out_address + write_offset`` and from there ``((y & 1) * 2 + (x & 1)) * phase_pitch +
    (y >> 1) * phase_stride + (x >> 1)`` further, the layout that a stride-2 reader needs, with
    ``phase_pitch = W * phase_vectors + W / 2``: even and odd columns of neighbouring positions then lie in different
    banks. Positions of a row are written in the order of ``q``: what lies beyond ``phase_stride`` columns is
    overwritten by the row below it in the plane.

    Striped: a layer of one position whose weights are slots in the activation banks (`pumice.spec.stripes`) and whose
    segment has neither taps nor streams. ``channel_pitch`` is the vector's byte address and ``n_channels`` its bank rows;
    ``n_valid`` the slots' byte address (both multiples of W); ``n_store`` the number of neighbouring rows of the row
    table, 1 to 8, whose results go in one write to the first one's ``out_address``. ``n_index_words`` of a core's
    preamble counts its slots.

    Gaps: before and after the planes, ``n_gaps`` runs of ``gap_bytes`` bytes at ``gap_start + j * gap_pitch`` are filled
    with the zero point while the layer runs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A bit field of a packed structure: ``bits`` bits from bit ``lsb`` of word ``word``; may not cross a word."""

    name: str
    word: int
    lsb: int
    bits: int
    signed: bool
    doc: str


class Packed:
    """A structure of bit fields in words of ``word_bits`` bits: packs integers to words and back."""

    def __init__(self, name: str, n_words: int, fields: tuple[Field, ...], doc: str, *, word_bits: int = 32):
        self.name, self.n_words, self.fields, self.doc, self.word_bits = name, n_words, fields, doc, word_bits
        used = [0] * n_words
        for f in fields:
            mask = ((1 << f.bits) - 1) << f.lsb
            if f.word >= n_words or f.lsb + f.bits > word_bits or used[f.word] & mask:
                raise ValueError(f"{name}.{f.name} overlaps another field or leaves its word")
            used[f.word] |= mask

    def pack(self, **values: int) -> list[int]:
        """Words of the structure; every field must be given and fit."""
        if set(values) != {f.name for f in self.fields}:
            raise ValueError(f"{self.name} needs exactly the fields {sorted(f.name for f in self.fields)}")
        words = [0] * self.n_words
        for f in self.fields:
            value = int(values[f.name])
            low, high = (-(1 << f.bits - 1), (1 << f.bits - 1) - 1) if f.signed else (0, (1 << f.bits) - 1)
            if not low <= value <= high:
                raise ValueError(f"{self.name}.{f.name} must be in {low}..{high}, not {value}")
            words[f.word] |= (value & ((1 << f.bits) - 1)) << f.lsb
        return words

    def unpack(self, words) -> dict[str, int]:
        """Fields of a structure as a dict."""
        values = {}
        for f in self.fields:
            value = int(words[f.word]) >> f.lsb & ((1 << f.bits) - 1)
            values[f.name] = value - (1 << f.bits) if f.signed and value >> (f.bits - 1) else value
        return values


LAYER = Packed(
    "layer",
    14,
    (
        Field("format", 0, 0, 4, False, "Code of the weight format (`pumice.spec.formats`)."),
        Field(
            "max", 0, 4, 1, False, "1: the lane keeps the maximum of its activations instead of the sum of products."
        ),
        Field("flat", 0, 5, 1, False, "1: a position indexes the tap table; 0: tap and channel."),
        Field("phase_store", 0, 6, 1, False, "1: write the four phase planes; 0: linear."),
        Field("lane_sum", 0, 7, 1, False, "1: lane 0 gets the sum of all lanes' accumulators, not with max."),
        Field("parameter", 0, 8, 8, False, "Parameter of the weight format (`WeightFormat.parameter`)."),
        Field("segment", 1, 0, 32, False, "64-bit word address of the segment in every core's weight memory."),
        Field("n_channels", 2, 0, 16, False, "Channels of a tap (1..65535); with flat, positions of a row."),
        Field("n_tiles", 2, 16, 16, False, "Tiles of W output positions, 1..65535."),
        Field("channel_pitch", 3, 0, 32, False, "Bytes from one input channel's plane to the next."),
        Field("width", 4, 0, 16, False, "Valid output positions of a row of the plane."),
        Field(
            "row_stride", 4, 16, 16, False, "Output positions from one row of the plane to the next, at least width."
        ),
        Field("n_valid", 5, 0, 32, False, "Flattened output positions that carry results."),
        Field("n_store", 6, 0, 32, False, "Flattened output positions that are written, at least n_valid."),
        Field("phase_stride", 7, 0, 16, False, "Bytes from one row of a phase plane to the next (phase store)."),
        Field("phase_vectors", 7, 16, 16, False, "Phase planes lie W * phase_vectors + W / 2 bytes apart."),
        Field("gap_start", 8, 0, 32, False, "Byte address of the first gap."),
        Field("gap_pitch", 9, 0, 32, False, "Bytes from one gap to the next."),
        Field("gap_bytes", 10, 0, 16, False, "Length of a gap; 0 with n_gaps = 0 only."),
        Field("n_gaps", 10, 16, 16, False, "Number of gaps."),
        Field("zero_point", 11, 0, 8, True, "Zero point of the output; also fills padding."),
        Field("low", 11, 8, 8, True, "Lower clamp of the output (fused activation)."),
        Field("high", 11, 16, 8, True, "Upper clamp of the output."),
        Field("values", 11, 24, 4, False, "Number of the value coding (`pumice.spec.values`)."),
        Field("striped", 11, 28, 1, False, "1: a striped layer; some fields mean something else, see above."),
        Field("pairs", 11, 29, 1, False, "Striped: 1: slots come as pairs, 0: byte slots."),
        Field(
            "read_offset", 12, 0, 21, False, "Bytes added to every address that is read: one segment, several bands."
        ),
        Field(
            "write_offset", 13, 0, 21, False, "Bytes added to every row's out_address; gaps have their own addresses."
        ),
    ),
    "One pass of the engine over one weight segment.",
)

PREAMBLE = Packed(
    "preamble",
    1,
    (
        Field("n_taps", 0, 0, 11, False, "Entries of the tap table."),
        Field("n_table_words", 0, 11, 6, False, "64-bit words of the value table."),
        Field("n_rows", 0, 17, 15, False, "Rows of this core; 0: nothing to do, nothing follows."),
        Field("n_index_words", 0, 32, 16, False, "64-bit words of the index stream; 0: no step has index bits."),
        Field("n_value_words", 0, 48, 16, False, "64-bit words of the value stream; 0 when every row is empty."),
    ),
    "First word of a segment.",
    word_bits=64,
)

ROW = Packed(
    "row",
    2,
    (
        Field("bias", 0, 0, 32, True, "Added to the accumulator; holds the input zero point's share."),
        Field("multiplier", 0, 32, 31, False, "Fixed-point multiplier of `numerics.requantise`."),
        Field("last", 0, 63, 1, False, "1 in the last row of the table."),
        Field("row_base", 1, 0, 21, False, "Byte address added to every tap of the row."),
        Field("out_address", 1, 21, 21, False, "Byte address of output position 0."),
        Field("shift", 1, 42, 5, False, "Right shift of `numerics.requantise`."),
        Field("n_steps", 1, 47, 17, False, "Decoder steps of the row; 0: an empty row, accumulator 0."),
    ),
    "One row (output channel) in a core's row table.",
    word_bits=64,
)


# Commands: what the walker walks. A command is COMMAND followed by a payload of n_words - 2 words:
# nothing (END, NEXT_PAGE), LAYER's words (OP_LAYER) or TRANSFER's words (OP_TRANSFER). Lists of any length are read in
# pages of PAGE_BYTES from their start; no command lies in two of them: NEXT_PAGE says that the rest of the page is unused.
OP_END, OP_LAYER, OP_TRANSFER, OP_NEXT_PAGE = 0, 1, 2, 3
PAGE_BYTES = 2048
QUEUED_TRANSFERS = 8  # that wait in the walker for the DMA, while commands behind them go on

COMMAND = Packed(
    "command",
    2,
    (
        Field("op", 0, 0, 8, False, "0 end, 1 layer, 2 transfer, 3 next page."),
        Field("n_words", 0, 8, 8, False, "Words of this command, itself included."),
        Field("skip", 0, 16, 4, False, "Of a transfer: walks that skip it, a sum of SKIP_."),
        Field("after_transfers", 1, 0, 16, False, "Wait until this many transfers of the list have completed."),
        Field(
            "after_layers", 1, 16, 16, False, "Wait until this many layers of the list have completed (not a LAYER)."
        ),
    ),
    "Head of a command. END waits for its counts too; a complete list ends with everything completed.",
)

# A run of several samples walks the run list once for each, without a pause in between: END waits in the last walk only.
# Counts are those of a walk on top of all that the walks before it count. Skipped transfers count as well: they lower
# what later commands of the walk wait for by one, which is why these wait for all or none of the skippable transfers.
# Transfers of the input and output buffers reach the part of their sample: that of the walk, with SKIP_FIRST the sample
# before it, with SKIP_LAST the sample behind it.
SKIP_FIRST, SKIP_BUT_FIRST, SKIP_LAST, SKIP_BUT_LAST = 1, 2, 4, 8

# Where a transfer ends on the chip.
SPACE_ACTIVATIONS, SPACE_WEIGHTS, SPACE_CPU_RAM, SPACE_BANKS = 0, 1, 2, 3
# Memory buffers that the host hands over; a transfer names one and never leaves it.
BUFFER_IMAGE, BUFFER_INPUT, BUFFER_OUTPUT, BUFFER_LOG, BUFFER_SCRATCH = 0, 1, 2, 3, 4
BUFFERS = ("image", "input", "output", "log", "scratch")

TRANSFER = Packed(
    "transfer",
    6,
    (
        Field("write", 0, 0, 1, False, "0: memory to chip, 1: chip (activations of core 0, or CPU RAM) to memory."),
        Field(
            "space",
            0,
            1,
            2,
            False,
            "0 activations (all cores), 1 weight memory of one core, 2 CPU RAM, 3 banks of one core.",
        ),
        Field("buffer", 0, 3, 3, False, "0 image, 1 input, 2 output, 3 log, 4 scratch."),
        Field("core", 0, 8, 8, False, "Core whose weight memory or banks are written."),
        Field("n_runs", 0, 16, 16, False, "Runs of bytes, at least 1."),
        Field("local", 1, 0, 32, False, "Byte address of the first run on the chip."),
        Field("offset", 2, 0, 32, False, "Byte offset of the first run in the buffer; equal to local modulo 8."),
        Field("n_bytes", 3, 0, 32, False, "Length of a run, at least 1."),
        Field("local_pitch", 4, 0, 32, False, "Bytes from one run to the next on the chip."),
        Field("pitch", 5, 0, 32, False, "Bytes from one run to the next in the buffer; equal to local_pitch modulo 8."),
    ),
    "One DMA transfer between a memory buffer and the chip. Memory gets exactly the bytes of each run; the chip gets "
    "whole 8-byte words, so up to 7 bytes on either side of a run as well, one run after the other.",
)

IMAGE_MAGIC = 0x49434D50  # "PMCI", little-endian
IMAGE_VERSION = 3

IMAGE_HEADER = Packed(
    "image_header",
    16,
    (
        Field("magic", 0, 0, 32, False, 'IMAGE_MAGIC, "PMCI".'),
        Field("version", 1, 0, 32, False, "IMAGE_VERSION."),
        Field("config_id", 2, 0, 32, False, "`EngineConfig.config_id` of the engine it was built for."),
        Field("n_bytes", 3, 0, 32, False, "Bytes of the image, header included, a multiple of 8."),
        Field("crc", 4, 0, 32, False, "CRC-32 (zlib) of all bytes after the header; the host checks it."),
        Field("load_offset", 5, 0, 32, False, "Byte offset of the command list that runs once, at load."),
        Field("load_bytes", 6, 0, 32, False, "Its length, a multiple of 8."),
        Field("run_offset", 7, 0, 32, False, "Byte offset of the command list of one inference."),
        Field("run_bytes", 8, 0, 32, False, "Its length, a multiple of 8."),
        Field("n_layers", 9, 0, 32, False, "Layer commands of the run list = entries of its log."),
        Field("input_bytes", 10, 0, 32, False, "Bytes that a sample takes in the input buffer."),
        Field("output_bytes", 11, 0, 32, False, "Bytes that a sample takes in the output buffer."),
        Field("scratch_bytes", 12, 0, 32, False, "Bytes of the scratch buffer: feature maps that do not fit on chip."),
    ),
    "Head of the image in memory; the host's file appends its metadata behind n_bytes.",
)

# Log entry of a layer: eight 32-bit counters, written to CPU RAM by the engine when the layer completes.
LOG_ENTRY_BYTES = 32
LOG_COUNTERS = (
    (
        "cycles",
        "From the layer's first cycle on the engine (the previous one's completion, or its own start) to its completion.",
    ),
    ("steps", "Decoder steps issued, all cores."),
    ("nonzeros", "Steps whose weight is not zero, all cores."),
    ("stall_fetch", "Core cycles without a step because the weight stream or a row header had not arrived."),
    ("stall_drain", "Core cycles without a step because the previous row was still draining (rows below 8 steps)."),
    ("stall_store", "Core cycles without a step because results waited for the write bus."),
    ("stall_start", "Core cycles before the core's first step: start-up, and the previous layer's results."),
    ("stall_finish", "Core cycles after the core's last step: other cores' rows, pipeline, last writes."),
)
