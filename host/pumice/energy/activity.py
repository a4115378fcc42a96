"""What the engine did in one inference, event by event: what the energy model prices.

Two sources, and `ACTIVITIES` says of each event which it is. ``device``: the device's own counters (of a `predicted`
device: the compiler's formulas). ``image``: the image run in numpy on the same input, which sees every value.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..device.driver import EngineRun
from ..device.reference import Machine, runs
from ..errors import DeviceError
from ..image import HEADER_BYTES, Image
from ..spec.config import EngineConfig
from ..spec.descriptor import BUFFERS, PREAMBLE, SPACE_ACTIVATIONS, SPACE_BANKS, SPACE_WEIGHTS

WORD_BYTES = 8  # of weight memory and of the DMA
CONTROL = "transfers and control"
"""The entry beside the layers: input, output, log, and the cycles of no layer."""


class Event(NamedTuple):
    """A kind of activity: what one is, and where its number comes from (``device`` or ``image``)."""

    source: str
    doc: str


ACTIVITIES = {
    "macs": Event("image", "Product of a non-zero weight and an activation off its zero point, in a valid lane."),
    "zero_macs": Event("image", "The same of an activation at its zero point: it cannot change the sum."),
    "masked_macs": Event("image", "Product of a non-zero weight in a lane that holds no output position."),
    "filler_macs": Event("image", "Lane of a step whose weight is zero (fillers of a format, empty rows)."),
    "requantised": Event("image", "Accumulator brought to int8, valid or not."),
    "steps": Event("device", "Decoder step of a core: decoding, addressing, rotation."),
    "bank_read_bytes": Event("device", "Byte read from activation banks: every lane of every step, striped inputs."),
    "bank_write_bytes": Event("image", "Byte written to activation banks, in each core's copy."),
    "weight_words_read": Event("image", "64-bit word read from weight memory, without what is read ahead in vain."),
    "weight_words_written": Event("image", "64-bit word written to weight memory."),
    "dram_bytes": Event("device", "Byte of memory traffic."),
    "soft_core_cycles": Event("device", "Clock cycle of the soft core, from the doorbell to the interrupt."),
    "cycles": Event("device", "Clock cycle of everything else: clock tree, idle logic, leakage."),
}


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Number of each event of `ACTIVITIES`; real where it is a mean."""

    macs: float = 0
    zero_macs: float = 0
    masked_macs: float = 0
    filler_macs: float = 0
    requantised: float = 0
    steps: float = 0
    bank_read_bytes: float = 0
    bank_write_bytes: float = 0
    weight_words_read: float = 0
    weight_words_written: float = 0
    dram_bytes: float = 0
    soft_core_cycles: float = 0
    cycles: float = 0

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __truediv__(self, n: float) -> "Activity":
        return Activity(**{f.name: getattr(self, f.name) / n for f in fields(self)})

    @staticmethod
    def total(parts: Iterable["Activity"]) -> "Activity":
        """The sum of several."""
        return sum(parts, Activity())


def network_activity(image: Image, config: EngineConfig, data: bytes, run: EngineRun) -> dict[str, Activity]:
    """Activity of one inference: by layer, and `CONTROL`.

    Parameters
    ----------
    data : bytes
        The input buffer of ``run``.
    run : EngineRun
        What a device made of it.

    Raises
    ------
    DeviceError
        The device's counters contradict the image.
    """
    metadata = image.metadata
    counter = _Counter(config, metadata["input"]["zero_point"])
    counter.execute(image.data, data)
    if bytes(counter.buffers["output"]) != run.output:
        raise DeviceError("the device's output is not that of the image on this input")
    parts = {}
    for layer in metadata["layers"]:
        for tag in layer["tags"]:
            for name in ("steps", "nonzeros"):
                if run.log[tag][name] != counter.log[tag][name]:
                    raise DeviceError(
                        f"layer {layer['name']}: the device counted {run.log[tag][name]} {name}, the image has "
                        f"{counter.log[tag][name]}"
                    )
        cycles = sum(run.log[tag]["cycles"] for tag in layer["tags"])
        steps = sum(run.log[tag]["steps"] for tag in layer["tags"])
        n_slot_bytes = layer["streamed_slot_bytes"]
        counted = Activity.total(Activity(**counter.counts[tag]) for tag in layer["tags"])
        parts[layer["name"]] = counted + Activity(
            steps=steps,
            bank_read_bytes=steps * config.n_lanes,
            weight_words_written=(layer["streamed_bytes"] - n_slot_bytes) / WORD_BYTES,
            bank_write_bytes=n_slot_bytes,
            dram_bytes=layer["streamed_bytes"],
            soft_core_cycles=cycles,
            cycles=cycles,
        )
    in_layers = Activity.total(parts.values())
    rest = run.cycles - in_layers.cycles
    parts[CONTROL] = Activity(
        bank_read_bytes=counter.n_words_stored * config.n_lanes,  # a whole vector for each word
        bank_write_bytes=counter.n_words_read[SPACE_ACTIVATIONS] * WORD_BYTES * config.n_cores,
        dram_bytes=run.read_bytes + run.write_bytes - in_layers.dram_bytes,
        soft_core_cycles=rest,
        cycles=rest,
    )
    return parts


def load_activity(image: Image, config: EngineConfig) -> Activity:
    """Activity of loading the image once, all of it from the image; cycles at the DMA's rate of a word a cycle."""
    counter = _Counter(config, image.metadata["input"]["zero_point"])
    header = counter.load(image.data)
    words = counter.n_words_read
    n_bytes = HEADER_BYTES + header["load_bytes"] + header["run_bytes"] + sum(words.values()) * WORD_BYTES
    cycles = n_bytes // WORD_BYTES
    return Activity(
        weight_words_written=words[SPACE_WEIGHTS],
        bank_write_bytes=words[SPACE_BANKS] * WORD_BYTES,
        dram_bytes=n_bytes,
        soft_core_cycles=cycles,
        cycles=cycles,
    )


class _Counter(Machine):
    """Runs an image and counts, for each entry of its log, the events whose source is the image.

    ``at_zero`` says of each byte of activation memory whether it holds its tensor's zero point, as does
    ``buffers_at_zero`` of the buffers; ``n_words_read`` tells what came from memory by where it went (SPACE_),
    ``n_words_stored`` what went there.
    """

    def __init__(self, config: EngineConfig, input_zero_point: int):
        super().__init__(config, np.random.default_rng(0))
        self.at_zero = np.zeros(config.activation_bytes, bool)
        self.counts: list[dict[str, int]] = []
        self.buffers_at_zero: dict[int, np.ndarray] = {}
        self.n_words_read: Counter[int] = Counter()
        self.n_words_stored = 0
        self._input_zero_point = input_zero_point

    def _transfer(self, transfer: dict[str, int]) -> None:
        super()._transfer(transfer)
        if transfer["space"] != SPACE_ACTIVATIONS:
            self.n_words_read[transfer["space"]] += transfer["n_runs"] * -(-transfer["n_bytes"] // WORD_BYTES)
            return
        buffer = self.buffers[BUFFERS[transfer["buffer"]]]
        if transfer["buffer"] not in self.buffers_at_zero:
            self.buffers_at_zero[transfer["buffer"]] = np.frombuffer(buffer, np.int8) == self._input_zero_point
        at_zero = self.buffers_at_zero[transfer["buffer"]]
        for here, there in runs(transfer, len(self.at_zero), len(buffer)):
            n_words = -(-here.stop // WORD_BYTES) - here.start // WORD_BYTES
            if transfer["write"]:
                at_zero[there] = self.at_zero[here]
                self.n_words_stored += n_words
            else:
                self.at_zero[here] = at_zero[there]
                self.n_words_read[SPACE_ACTIVATIONS] += n_words

    def _layer(self, layer: dict[str, int]) -> None:
        self._zero_point = layer["zero_point"]
        names = ("macs", "zero_macs", "masked_macs", "filler_macs", "requantised", "bank_read_bytes")
        self.counts.append(
            dict.fromkeys((*names, "bank_write_bytes"), 0) | {"weight_words_read": self._words_read(layer)}
        )
        super()._layer(layer)

    def _words_read(self, layer: dict[str, int]) -> int:
        """Preamble, taps and value table once, row table and streams for each tile."""
        n_words = 0
        for memory in self.weights:
            preamble = PREAMBLE.unpack(memory[layer["segment"] :])
            n_words += 1
            if preamble["n_rows"]:
                n_words += -(-preamble["n_taps"] // 2) + preamble["n_table_words"]
                n_stream_words = 0 if layer["striped"] else preamble["n_index_words"] + preamble["n_value_words"]
                n_words += layer["n_tiles"] * (2 * preamble["n_rows"] + n_stream_words)
        return n_words

    def _run_row(self, layer, row, positions, taps, weights) -> None:
        super()._run_row(layer, row, positions, taps, weights)
        lanes = np.arange(layer["n_tiles"] * self.config.n_lanes)
        valid = (lanes % layer["row_stride"] < layer["width"]) & (lanes < layer["n_valid"])
        n_lanes, n_valid, n_weights = len(lanes), np.count_nonzero(valid), np.count_nonzero(weights)
        n_zero = np.count_nonzero(self._read_zero[weights != 0][:, valid])
        counts = self.counts[-1]
        counts["macs"] += int(n_weights * n_valid - n_zero)
        counts["zero_macs"] += int(n_zero)
        counts["masked_macs"] += int(n_weights * (n_lanes - n_valid))
        counts["filler_macs"] += int((max(1, len(weights)) - n_weights) * n_lanes)
        counts["requantised"] += n_lanes

    def _count_striped(self, rows: np.ndarray, n_terms: int) -> None:
        n_weights = np.count_nonzero(rows)
        n_zero = np.count_nonzero(rows * self._read_zero)
        counts = self.counts[-1]
        counts["macs"] += int(n_weights - n_zero)
        counts["zero_macs"] += int(n_zero)
        counts["filler_macs"] += int(n_terms - n_weights)
        counts["requantised"] += len(rows)
        counts["bank_read_bytes"] += rows[0].size  # the input, before the slots, which are steps

    def _load(self, addresses: np.ndarray) -> np.ndarray:
        self._read_zero = self.at_zero[addresses & (self.config.activation_bytes - 1)]
        return super()._load(addresses)

    def _store(self, addresses: np.ndarray, values: np.ndarray | int) -> None:
        super()._store(addresses, values)
        self.at_zero[addresses & (self.config.activation_bytes - 1)] = values == self._zero_point
        self.counts[-1]["bank_write_bytes"] += len(addresses) * self.config.n_cores
