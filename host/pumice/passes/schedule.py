"""Command lists and the bytes of an image."""

import zlib
from dataclasses import dataclass

import numpy as np

from ..errors import CompileError
from ..spec.config import EngineConfig
from ..spec.descriptor import (
    BUFFER_IMAGE,
    BUFFER_INPUT,
    BUFFER_OUTPUT,
    COMMAND,
    IMAGE_HEADER,
    IMAGE_MAGIC,
    IMAGE_VERSION,
    LAYER,
    LOG_ENTRY_BYTES,
    OP_END,
    OP_LAYER,
    OP_SKIP,
    OP_TRANSFER,
    PAGE_BYTES,
    SPACE_ACTIVATIONS,
    SPACE_WEIGHTS,
    TRANSFER,
)
from ..spec.registers import LOG_BYTES
from .cycles import count_tiles, n_stored
from .plan import Plan
from .weights import WORD_BYTES, LayerPass

HEADER_BYTES = IMAGE_HEADER.n_words * 4
PAGE_WORDS = PAGE_BYTES // 4
LOG_COPY_LAYERS = LOG_BYTES // LOG_ENTRY_BYTES // 2
MAX_COUNT = (1 << 16) - 1
"""Of layers and transfers in a list, those that fetch it and copy the log included."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """An image's bytes, and where a debug image puts tensors in the output buffer."""

    data: bytes
    debug_offsets: dict[str, int]


class _CommandList:
    """Commands in order; counts the layers and transfers that it holds."""

    def __init__(self):
        self._words: list[int] = []
        self.n_layers = self.n_transfers = 0

    def layer(self, descriptor: dict[str, int], name: str, *, after_transfers: int) -> None:
        try:
            words = LAYER.pack(**descriptor)
        except ValueError as error:
            raise CompileError(f"layer {name} is too large for the engine: {error}") from error
        self._put(OP_LAYER, words, 0, after_transfers)
        self.n_layers += 1

    def transfer(self, *, after_layers: int = 0, core: int = 0, write: int = 0, **fields: int) -> None:
        runs = {"n_runs": 1, "local_pitch": 0, "pitch": 0}
        self._put(OP_TRANSFER, TRANSFER.pack(write=write, core=core, **(runs | fields)), after_layers, 0)
        self.n_transfers += 1

    def end(self) -> bytes:
        """Close the list and return its bytes. CompileError: more commands than the engine can count."""
        n_own = len(self._words) // PAGE_WORDS + 1 + self.n_layers // LOG_COPY_LAYERS  # the firmware's own transfers
        if self.n_layers > MAX_COUNT or self.n_transfers + n_own > MAX_COUNT:
            raise CompileError(
                f"the network takes {self.n_layers} passes and {self.n_transfers} transfers, where up to {MAX_COUNT} "
                "can be counted: use a smaller network, or a configuration with more weight_depth or bank_depth"
            )
        self._put(OP_END, [], self.n_layers, self.n_transfers)
        return np.array(self._words, "<u4").tobytes()

    def _put(self, op: int, payload: list[int], after_layers: int, after_transfers: int) -> None:
        n_words = COMMAND.n_words + len(payload)
        room = -len(self._words) % PAGE_WORDS
        if 0 < room < n_words:
            skip = COMMAND.pack(op=OP_SKIP, n_words=COMMAND.n_words, after_layers=0, after_transfers=0)
            self._words += skip + [0] * (room - len(skip))
        head = COMMAND.pack(op=op, n_words=n_words, after_layers=after_layers, after_transfers=after_transfers)
        self._words += head + payload


class _Segments:
    """Bytes that follow the image's header."""

    def __init__(self):
        self.data = bytearray()

    def put(self, data: bytes) -> int:
        """Append bytes and return their offset in the image."""
        self.data += data
        return HEADER_BYTES + len(self.data) - len(data)


def schedule(passes: list[LayerPass], n_resident_words: int, plan: Plan, *, debug: bool = False) -> Program:
    """The image: header, segments, load list, run list.

    Parameters
    ----------
    debug : bool
        Copy each layer's output to the output buffer, behind the network's output.

    Raises
    ------
    CompileError
        A field of a descriptor or a command list is too large for the engine.
    """
    segments = _Segments()
    load = _load_list(segments, passes, n_resident_words, plan.config)
    run, output_bytes, debug_offsets = _run_list(segments, passes, plan, debug)
    load_offset = segments.put(load)
    run_offset = segments.put(run)
    body = bytes(segments.data)
    header = IMAGE_HEADER.pack(
        magic=IMAGE_MAGIC,
        version=IMAGE_VERSION,
        config_id=plan.config.config_id,
        n_bytes=HEADER_BYTES + len(body),
        crc=zlib.crc32(body),
        load_offset=load_offset,
        load_bytes=len(load),
        run_offset=run_offset,
        run_bytes=len(run),
        n_layers=len(passes),
        input_bytes=plan.planes[plan.network_input].n_bytes,
        output_bytes=output_bytes,
        scratch_bytes=0,
    )
    return Program(data=np.array(header, "<u4").tobytes() + body, debug_offsets=debug_offsets)


def _load_list(segments: _Segments, passes: list[LayerPass], n_resident_words: int, config: EngineConfig) -> bytes:
    commands = _CommandList()
    if n_resident_words:
        for core in range(config.n_cores):
            resident = b"".join(p.segments[core].ljust(p.n_words * WORD_BYTES, b"\0") for p in passes if not p.streamed)
            commands.transfer(
                space=SPACE_WEIGHTS,
                buffer=BUFFER_IMAGE,
                core=core,
                local=0,
                offset=segments.put(resident),
                n_bytes=len(resident),
            )
    return commands.end()


def _run_list(
    segments: _Segments, passes: list[LayerPass], plan: Plan, debug: bool
) -> tuple[bytes, int, dict[str, int]]:
    """Run list, bytes of the output buffer, and offsets in it of the tensors of a debug image."""
    commands = _CommandList()
    commands.transfer(
        space=SPACE_ACTIVATIONS,
        buffer=BUFFER_INPUT,
        local=plan.addresses[plan.network_input],
        offset=0,
        n_bytes=plan.planes[plan.network_input].n_bytes,
    )
    needed_transfers = {0: commands.n_transfers}  # the first layer needs the input
    output_bytes, debug_offsets = plan.planes[plan.network_output].n_bytes, {}

    def read_out(name: str, offset: int) -> None:
        commands.transfer(
            after_layers=commands.n_layers,
            write=1,
            space=SPACE_ACTIVATIONS,
            buffer=BUFFER_OUTPUT,
            local=plan.addresses[name],
            offset=offset,
            n_bytes=plan.planes[name].n_bytes,
        )

    arrivals = _arrivals([i for i, p in enumerate(passes) if p.streamed])
    for i, layer_pass in enumerate(passes):
        for streamed, after_layers in arrivals.get(i, ()):
            for core, segment in enumerate(passes[streamed].segments):
                commands.transfer(
                    after_layers=after_layers,
                    space=SPACE_WEIGHTS,
                    buffer=BUFFER_IMAGE,
                    core=core,
                    local=passes[streamed].address * WORD_BYTES,
                    offset=segments.put(segment),
                    n_bytes=len(segment),
                )
            needed_transfers[streamed] = commands.n_transfers
        # While debugging, a layer waits for every read-out before it: it may overwrite what they read.
        needed = commands.n_transfers if debug else needed_transfers.get(i, 0)
        commands.layer(_descriptor(i, layer_pass, plan), layer_pass.layer.operation.name, after_transfers=needed)
        if debug and layer_pass.is_last_part:
            name = layer_pass.layer.operation.output
            read_out(name, output_bytes)
            debug_offsets[name] = output_bytes
            output_bytes += plan.planes[name].n_bytes
    read_out(plan.network_output, 0)
    return commands.end(), output_bytes, debug_offsets


def _arrivals(streamed: list[int]) -> dict[int, list[tuple[int, int]]]:
    """For each pass, the streamed passes whose transfers stand in front of it, each with the layers they wait for.

    A staging area is free when the streamed pass before the previous one has completed. The transfers stand one layer
    behind that one in the list, so that the engine has work while the soft core waits.
    """
    arrivals: dict[int, list[tuple[int, int]]] = {}
    for k, i in enumerate(streamed):
        after_layers = streamed[k - 2] + 1 if k >= 2 else 0
        arrivals.setdefault(min(i, after_layers + 1 if k >= 2 else 0), []).append((i, after_layers))
    return arrivals


def _descriptor(tag: int, layer_pass: LayerPass, plan: Plan) -> dict[str, int]:
    layer, operation = layer_pass.layer, layer_pass.layer.operation
    output = plan.planes[operation.output]
    height, width, _ = output.shape
    row_stride = operation.row_stride
    in_phases = output.phases != (1, 1)
    if operation.scattered:
        height = width = 1
    n_valid = (height - 1) * row_stride + width
    if height == 1 and not in_phases:
        # There is no next row: its place is free, and the tile walker is faster when a tile lies in one row.
        row_stride = max(row_stride, plan.config.n_lanes)
    has_gaps = layer_pass.part == 0 and output.gap_bytes > 0
    return {
        "format": layer.format.code,
        "max": operation.is_max,
        "flat": layer.flat,
        "lane_sum": operation.lane_sum,
        "phase_store": in_phases,
        "tag": tag,
        "segment": layer_pass.address,
        "n_channels": layer.n_channels,
        "n_tiles": count_tiles(operation, output, plan.config),
        "channel_pitch": layer.channel_pitch,
        "width": width,
        "row_stride": row_stride,
        "n_valid": n_valid,
        "n_store": n_stored(operation, output),
        "phase_stride": output.row_stride if in_phases else 0,
        "phase_vectors": output.phase_pitch // plan.config.n_lanes if in_phases else 0,
        "gap_start": plan.addresses[operation.output] if has_gaps else 0,
        "gap_pitch": output.phase_pitch if has_gaps else 0,
        "gap_bytes": output.gap_bytes if has_gaps else 0,
        "n_gaps": len(output.channels) * output.n_phases + 1 if has_gaps else 0,
        "zero_point": output.zero_point,
        "low": operation.low,
        "high": operation.high,
        "read_offset": 0,
        "write_offset": 0,
    }
