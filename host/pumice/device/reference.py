"""The engine in numpy: runs an image exactly as the hardware does, knowing nothing of graphs.

Everything comes from `spec.descriptor` and `spec.formats`. Activation and weight memories start with random bytes, and
layers and transfers that a command list leaves unordered run in random order, so that a missing padding byte or a
missing wait shows in the results.
"""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import DeviceError
from ..image import parse_header
from ..spec.coding import read_row
from ..spec.config import EngineConfig
from ..spec.descriptor import (
    BUFFER_INPUT,
    BUFFER_LOG,
    BUFFER_OUTPUT,
    BUFFERS,
    COMMAND,
    LAYER,
    OP_END,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    PREAMBLE,
    ROW,
    SKIP_BUT_FIRST,
    SKIP_BUT_LAST,
    SKIP_FIRST,
    SKIP_LAST,
    SPACE_ACTIVATIONS,
    SPACE_BANKS,
    SPACE_WEIGHTS,
    TRANSFER,
)
from ..spec.formats import FORMATS_BY_CODE, BitReader
from ..spec.numerics import requantise, wrap_int32
from ..spec.stripes import decode_byte_slots, decode_pair_slots
from ..spec.values import VALUE_CODINGS_BY_NUMBER

PAGE_WORDS = PAGE_BYTES // 4
RUN_FIELDS = (("local", "local_pitch"), ("offset", "pitch"))


def run_image(
    image_bytes: bytes, config: EngineConfig, input_bytes: bytes, *, n_samples: int = 1, seed: int = 0
) -> tuple[bytes, list[dict[str, int]]]:
    """Load an image and run it on ``n_samples`` samples.

    Parameters
    ----------
    image_bytes : bytes
        The device's part of an image.
    input_bytes : bytes
        The input buffer, one sample behind the other.
    seed : int
        Of the memories' first contents and of the order of what is unordered.

    Returns
    -------
    output_bytes : bytes
        The output buffer.
    log : list of dict of str to int
        For each layer command, sample after sample, ``steps`` and ``nonzeros`` summed over cores and tiles.

    Raises
    ------
    ImageError
        The image's header is wrong.
    DeviceError
        A command, segment or transfer that the hardware would refuse or could not finish.
    """
    machine = Machine(config, np.random.default_rng(seed))
    machine.execute(image_bytes, input_bytes, n_samples)
    return bytes(machine.buffers["output"]), machine.log


class Machine:
    """Memories and the command walker; `execute` leaves ``buffers`` and ``log`` behind."""

    def __init__(self, config: EngineConfig, rng: np.random.Generator):
        self.config, self.rng = config, rng
        shape = config.n_cores, config.activation_bytes
        self.banks = rng.integers(-128, 128, shape).astype(np.int8)  # of each core
        self.activations = self.banks[0]  # the part that is the same in all
        self.weights = rng.integers(0, 1 << 64, (config.n_cores, config.weight_depth), np.uint64)
        self.buffers: dict[str, bytearray] = {}
        self.sample_bytes: dict[int, int] = {}  # of a sample's part of a buffer
        self.log: list[dict[str, int]] = []

    def execute(self, image_bytes: bytes, input_bytes: bytes, n_samples: int = 1) -> None:
        """Load an image and run it on ``n_samples`` samples; see `run_image`."""
        header = self.load(image_bytes)
        self.buffers["input"] = bytearray(input_bytes)
        self.buffers["output"] = bytearray(n_samples * header["output_bytes"])
        self.buffers["scratch"] = bytearray(self.rng.bytes(header["scratch_bytes"]))
        self.sample_bytes = {BUFFER_INPUT: header["input_bytes"], BUFFER_OUTPUT: header["output_bytes"]}
        self.log = []
        self.run(np.frombuffer(image_bytes, "<u4", header["run_bytes"] // 4, header["run_offset"]), n_samples)
        if len(self.log) != header["n_layers"] * n_samples:
            raise DeviceError(f"the image ran {len(self.log)} layers but its header says {header['n_layers']} a sample")

    def load(self, image_bytes: bytes) -> dict[str, int]:
        """Walk an image's load list; returns its header."""
        header = parse_header(image_bytes, self.config)
        self.buffers["image"] = bytearray(image_bytes[: header["n_bytes"]])
        self.run(np.frombuffer(image_bytes, "<u4", header["load_bytes"] // 4, header["load_offset"]))
        return header

    def run(self, words: np.ndarray, n_walks: int = 1) -> None:
        """Walk one command list to its end, ``n_walks`` times."""
        layers, transfers = _Queue(), _Queue()
        for sample in range(n_walks):
            skip = SKIP_BUT_FIRST if sample else SKIP_FIRST
            skip |= SKIP_LAST if sample == n_walks - 1 else SKIP_BUT_LAST
            self._walk(words, sample, skip, layers, transfers)
        if layers.pending or transfers.pending:
            raise DeviceError("END does not wait for everything")

    def _walk(self, words: np.ndarray, sample: int, skip: int, layers: "_Queue", transfers: "_Queue") -> None:
        """Walk a list to its end for a sample, with the SKIP_ bits that hold for it."""
        layers_before, transfers_before, place = layers.submitted, transfers.submitted, 0
        while True:
            if place + COMMAND.n_words > len(words):
                raise DeviceError("a command list ends without END")
            command = COMMAND.unpack(words[place:])
            payload = words[place + COMMAND.n_words : place + command["n_words"]]
            page = place // PAGE_WORDS
            if command["op"] == OP_NEXT_PAGE:
                place = (page + 1) * PAGE_WORDS
                continue
            if (place + command["n_words"] - 1) // PAGE_WORDS != page:
                raise DeviceError(f"the command at word {place} of a list lies in two pages")
            expected = {OP_END: 0, OP_LAYER: LAYER.n_words, OP_TRANSFER: TRANSFER.n_words}
            if expected.get(command["op"]) != len(payload) or len(payload) != command["n_words"] - COMMAND.n_words:
                raise DeviceError(f"malformed command at word {place} of a list: {command}")
            place += command["n_words"]
            if command["op"] == OP_END and not skip & SKIP_LAST:
                break
            if command["op"] == OP_TRANSFER and command["skip"] & skip:
                transfers_before -= 1
                continue
            if command["op"] != OP_LAYER:
                layers.wait_for(layers_before + command["after_layers"])
            transfers.wait_for(transfers_before + command["after_transfers"])
            if command["op"] == OP_END:
                break
            if command["op"] == OP_LAYER:
                layers.put(self._layer, LAYER.unpack(payload))
            else:
                transfer = TRANSFER.unpack(payload)
                owner = sample - bool(command["skip"] & SKIP_FIRST) + bool(command["skip"] & SKIP_LAST)
                transfer["offset"] += owner * self.sample_bytes.get(transfer["buffer"], 0)
                transfers.put(self._transfer, transfer)
            for queue in self.rng.permutation(np.array([layers, transfers], object)):
                queue.advance(int(self.rng.integers(0, 3)))
        if place != len(words):
            raise DeviceError("commands follow END")

    def _transfer(self, transfer: dict[str, int]) -> None:
        if transfer["buffer"] in (BUFFER_LOG, *range(len(BUFFERS), 8)):
            raise DeviceError(f"transfer of a foreign buffer: {transfer}")
        buffer = np.frombuffer(self.buffers[BUFFERS[transfer["buffer"]]], np.uint8)
        if transfer["space"] == SPACE_ACTIVATIONS:
            memory = self.banks.view(np.uint8)
        elif transfer["space"] == SPACE_BANKS and not transfer["write"] and transfer["core"] < self.config.n_cores:
            memory = self.banks[transfer["core"] : transfer["core"] + 1].view(np.uint8)
        elif transfer["space"] == SPACE_WEIGHTS and not transfer["write"] and transfer["core"] < self.config.n_cores:
            memory = self.weights[transfer["core"] : transfer["core"] + 1].view(np.uint8)
        else:
            raise DeviceError(f"transfer of a place that it cannot reach: {transfer}")
        for here, there in runs(transfer, memory.shape[1], len(buffer)):
            if transfer["write"]:
                buffer[there] = memory[0, here]
            else:
                memory[:, here] = buffer[there]

    def _layer(self, layer: dict[str, int]) -> None:
        for j in range(layer["n_gaps"]):
            self._store(
                layer["gap_start"] + j * layer["gap_pitch"] + np.arange(layer["gap_bytes"]), layer["zero_point"]
            )
        entry = {"steps": 0, "nonzeros": 0}
        for core, memory in enumerate(self.weights):
            if layer["striped"]:
                self._striped(layer, core, entry)
                continue
            for row, positions, taps, weights in _read_segment(memory, layer):
                self._run_row(layer, row, positions, taps, weights)
                entry["steps"] += layer["n_tiles"] * max(1, len(weights))
                entry["nonzeros"] += layer["n_tiles"] * int(np.count_nonzero(weights))
        self.log.append(entry)

    def _run_row(self, layer, row, positions, taps, weights) -> None:
        """All tiles of a row; steps without weight read too, but add nothing."""
        if layer["flat"]:
            offsets = taps[positions]
        else:
            tap, channel = np.divmod(positions, layer["n_channels"])
            offsets = taps[tap] + channel * layer["channel_pitch"]
        lanes = np.arange(layer["n_tiles"] * self.config.n_lanes)
        values = self._load(row["row_base"] + layer["read_offset"] + offsets[:, None] + lanes)
        if len(values) == 0:
            total = np.zeros(len(lanes), np.int64)
        elif layer["max"]:
            total = values[weights != 0].max(axis=0, initial=-128).astype(np.int64)
        else:
            # Sums of at most 2**17 products of int8 are exact in float64, whose product is fast.
            total = wrap_int32((weights.astype(np.float64) @ values.astype(np.float64)).astype(np.int64))
        if layer["lane_sum"]:
            total[0] = wrap_int32(total.sum())
        results = requantise(
            total, row["bias"], row["multiplier"], row["shift"], layer["zero_point"], layer["low"], layer["high"]
        )
        y, x = np.divmod(lanes, layer["row_stride"])
        results[(x >= layer["width"]) | (lanes >= layer["n_valid"])] = layer["zero_point"]
        place = lanes
        if layer["phase_store"]:
            phase = (y & 1) * 2 + (x & 1)
            pitch = self.config.n_lanes * layer["phase_vectors"] + self.config.n_lanes // 2
            place = phase * pitch + (y >> 1) * layer["phase_stride"] + (x >> 1)
        written = lanes < layer["n_store"]
        self._store(row["out_address"] + layer["write_offset"] + place[written], results[written])

    def _striped(self, layer: dict[str, int], core: int, entry: dict[str, int]) -> None:
        """A core's rows of a striped layer."""
        n_lanes, banks = self.config.n_lanes, self.banks[core].reshape(-1, self.config.n_lanes)
        preamble, headers, _ = _read_rows(self.weights[core], layer)
        if not headers:
            return
        first, n_slots = layer["n_valid"] // n_lanes, preamble["n_index_words"]
        slots = banks[first : first + n_slots].view(np.uint8)
        first, n_vectors = layer["channel_pitch"] // n_lanes, layer["n_channels"]
        places = (first + np.arange(n_vectors)) % len(banks) * n_lanes
        vector = self._load(places[:, None] + np.arange(n_lanes)).astype(np.int64)
        if len(slots) != n_slots or n_vectors > self.config.stripe_depth:
            raise DeviceError(f"a striped layer leaves the banks or its lanes' columns: {layer}")
        if layer["pairs"]:
            rows = decode_pair_slots(slots, len(headers), n_vectors)
        else:
            rows = decode_byte_slots(slots, n_vectors)
        self._count_striped(rows, n_slots // (1 + layer["pairs"]) * n_lanes)
        totals = (rows * vector).sum(axis=(1, 2))
        for i, (row, total) in enumerate(zip(headers, totals, strict=True)):
            result = requantise(
                total, row["bias"], row["multiplier"], row["shift"], layer["zero_point"], layer["low"], layer["high"]
            )
            place = i % layer["n_store"]
            self._store(np.array([headers[i - place]["out_address"] + place]), result)
        entry["steps"] += n_slots
        weights = slots[1::2] if layer["pairs"] else slots
        entry["nonzeros"] += int(np.count_nonzero(weights.any(axis=1)))

    def _count_striped(self, rows: np.ndarray, n_terms: int) -> None:
        """For subclasses: rows (rows, vectors, lanes) that were multiplied with what `_load` gave, in ``n_terms``."""

    def _load(self, addresses: np.ndarray) -> np.ndarray:
        return self.activations[addresses & (self.config.activation_bytes - 1)]

    def _store(self, addresses: np.ndarray, values: np.ndarray | int) -> None:
        self.banks[:, addresses & (self.config.activation_bytes - 1)] = values


def runs(transfer: dict[str, int], memory_bytes: int, buffer_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Bytes on the chip and of the buffer that each run moves: a read moves whole words."""
    n_bytes = transfer["n_bytes"]
    if not n_bytes or not transfer["n_runs"]:
        raise DeviceError(f"empty transfer: {transfer}")
    for run in range(transfer["n_runs"]):
        local, offset = (transfer[start] + run * transfer[pitch] for start, pitch in RUN_FIELDS)
        if (local - offset) % 8:
            raise DeviceError(f"run {run} lies differently in words of memory and chip: {transfer}")
        if offset + n_bytes > buffer_bytes // 8 * 8 or local + n_bytes > memory_bytes:
            raise DeviceError(
                f"run {run} leaves its buffer of {buffer_bytes} or memory of {memory_bytes} bytes: {transfer}"
            )
        before, after = (0, 0) if transfer["write"] else (local % 8, -(local + n_bytes) % 8)
        here, there = (slice(start - before, start + n_bytes + after) for start in (local, offset))
        yield here, there


class _Queue:
    """Work that runs in order, some time after it was submitted."""

    def __init__(self):
        self.pending: deque[tuple[Callable, dict[str, int]]] = deque()
        self.submitted = self.completed = 0

    def put(self, work: Callable, descriptor: dict[str, int]) -> None:
        self.pending.append((work, descriptor))
        self.submitted += 1

    def advance(self, n: int) -> None:
        """Complete up to ``n`` entries."""
        for _ in range(min(n, len(self.pending))):
            work, descriptor = self.pending.popleft()
            work(descriptor)
            self.completed += 1

    def wait_for(self, n_completed: int) -> None:
        """Complete entries until ``n_completed`` have."""
        self.advance(n_completed - self.completed)
        if self.completed < n_completed:
            raise DeviceError(
                f"a command waits for {n_completed} completions, but only {self.completed} were submitted"
            )


def _read_rows(memory: np.ndarray, layer: dict[str, int]):
    """Preamble, row headers, and what else a core's segment holds: taps, value table and a reader of what follows."""

    def words(n: int) -> np.ndarray:
        nonlocal place
        if place + n > len(memory):
            raise DeviceError(f"the segment at word {layer['segment']} leaves the weight memory")
        place += n
        return memory[place - n : place]

    place = layer["segment"]
    preamble = PREAMBLE.unpack(words(1))
    if preamble["n_rows"] == 0:
        return preamble, [], None
    taps = words(-(-preamble["n_taps"] // 2)).view("<i4")[: preamble["n_taps"]].astype(np.int64)
    table = words(preamble["n_table_words"]).tobytes()
    headers = [ROW.unpack(words(ROW.n_words)) for _ in range(preamble["n_rows"])]
    if [header["last"] for header in headers] != [0] * (len(headers) - 1) + [1]:
        raise DeviceError(f"the row table at word {layer['segment']} is not closed by its last row")
    return preamble, headers, (taps, table, words)


def _read_segment(memory: np.ndarray, layer: dict[str, int]):
    """Row headers with the positions and weights of their steps, and the tap table, from a core's weight memory."""
    preamble, headers, rest = _read_rows(memory, layer)
    if rest is None:
        return
    taps, table, words = rest
    streams = index_stream, value_stream = [
        BitReader(words(preamble[name]).tobytes()) for name in ("n_index_words", "n_value_words")
    ]
    values = VALUE_CODINGS_BY_NUMBER[layer["values"]].from_table(table)
    indices = FORMATS_BY_CODE[layer["format"]].from_parameter(layer["parameter"]).reader(layer["n_channels"])
    for header in headers:
        advances, weights = read_row(indices, values, index_stream, value_stream, header["n_steps"]).T
        yield header, np.cumsum(advances) - 1, taps, weights
    used = [-(-stream.position // 64) for stream in streams]
    if used != [preamble["n_index_words"], preamble["n_value_words"]]:
        raise DeviceError(
            f"of the streams of the segment at word {layer['segment']}, {used} words are used: {preamble}"
        )
