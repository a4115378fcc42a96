"""When each layer and transfer of a run ends, by walking its command list as the gateware does."""

from dataclasses import dataclass

import numpy as np

from ..spec.descriptor import (
    COMMAND,
    LOG_ENTRY_BYTES,
    OP_END,
    OP_LAYER,
    OP_TRANSFER,
    PAGE_BYTES,
    QUEUED_TRANSFERS,
    SKIP_FIRST,
    SKIP_LAST,
    TRANSFER,
)
from .cycles import DRAIN_CYCLES, MEMORY_LATENCY, MEMORY_WORDS_PER_CYCLE, RUN_CYCLES, SHORT_RUN_CYCLES
from .jobs import Job
from .plan import Plan

BEGIN_CYCLES = 3
"""From the doorbell to the first command."""
COMMAND_CYCLES = 6
"""Of a command before it waits, besides one for each 64-bit word of its payload."""
ACCEPT_CYCLES = 4
"""From a transfer in front of the DMA to its first address."""
SOURCE_CYCLES = 12
"""From a write's start to its first word on the bus, read from the banks."""
LOG_SOURCE_CYCLES = 3
"""The same of the log, in the soft core's RAM."""
LOG_CYCLES = 8
"""From a layer's completion to its entry's transfer."""
END_CYCLES = 4
"""From the last completion to the command's end."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Cycles of a run of one sample.

    Attributes
    ----------
    layers : list of int
        Of each LAYER command as its log entry counts them: from the layer before, or from its handing over.
    total : int
        From the doorbell to the interrupt.
    """

    layers: list[int]
    total: int


class _Dma:
    """Transfers one behind the other, MEMORY_WORDS_PER_CYCLE; times are cycles from the doorbell."""

    def __init__(self):
        self._taken = 0.0  # when the last one left the queue
        self._end = 0.0  # when it was complete
        self._sent = 0.0  # when its last word was on the bus
        self._writes = False

    def move(
        self, offered: float, n_runs: int, n_bytes: int, *, write: bool, source: int = SOURCE_CYCLES
    ) -> tuple[float, float]:
        """When a transfer offered at some time leaves the queue, and when it is complete."""
        ready = max(offered, self._taken) + ACCEPT_CYCLES
        taken = max(ready, self._sent if write and self._writes else self._end)
        words = (n_bytes + 7) // 8 / MEMORY_WORDS_PER_CYCLE
        if n_runs > 1:
            words = n_runs * max(words + RUN_CYCLES, SHORT_RUN_CYCLES)
        if write:
            end = taken + source + words + MEMORY_LATENCY
        else:
            asked = taken if self._writes else ready  # beside the transfer before
            end = max(asked + MEMORY_LATENCY, taken) + 1 + words
        self._taken, self._end, self._sent, self._writes = taken, end, end - MEMORY_LATENCY, write
        return taken, end


def predict_run(run_list: bytes, jobs: list[Job], plan: Plan, *, logs: bool = True) -> Timeline:
    """Cycles of a run, walked by the formulas of `passes.cycles` for layers and `_Dma` for transfers.

    Parameters
    ----------
    run_list : bytes
        Commands of `spec.descriptor`, as they lie in an image.
    jobs : list of Job
        Those of its LAYER commands, in order.
    logs : bool
        There is a log buffer, so that entries leave.
    """
    words = np.frombuffer(run_list, "<u4").tolist()
    dma, now, at = _Dma(), float(BEGIN_CYCLES), 0
    ends, handed, cycles = [0.0], [0.0], []  # of layers; of none yet
    done, taken = [0.0], [0.0]  # of transfers
    while at < len(words):
        head = COMMAND.unpack(words[at : at + COMMAND.n_words])
        payload = words[at + COMMAND.n_words : at + head["n_words"]]
        at += head["n_words"]
        if head["op"] == OP_TRANSFER and not head["skip"] & (SKIP_FIRST | SKIP_LAST):
            fields = TRANSFER.unpack(payload)
            now = max(now + COMMAND_CYCLES + len(payload) // 2, ends[head["after_layers"]])
            now = max(now, done[head["after_transfers"]], taken[max(0, len(taken) - QUEUED_TRANSFERS)]) + 2
            start, end = dma.move(now, fields["n_runs"], fields["n_bytes"], write=bool(fields["write"]))
            taken.append(start)
            done.append(max(done[-1], end))
            if fields["write"] and start < ends[-1]:  # its reads hold the layer that runs
                held = fields["n_runs"] * fields["n_bytes"] / 8 / plan.config.n_cores
                ends[-1] += held
                cycles[-1] += round(held)
        elif head["op"] == OP_TRANSFER:  # as if it had completed
            taken.append(taken[-1])
            done.append(done[-1])
        elif head["op"] == OP_LAYER:
            job = jobs[len(ends) - 1]
            # One layer waits in the engine: it leaves its place when the one before has issued its last step.
            free = max(handed[-1], ends[-2] - DRAIN_CYCLES if len(ends) > 1 else 0)
            now = max(now + COMMAND_CYCLES + len(payload) // 2, done[head["after_transfers"]], free) + 2
            begin = max(ends[-1], now)
            beside = job.predicted_cycles(plan, is_first=False) if len(ends) > 1 else 0
            end = max(ends[-1] + beside, now + job.predicted_cycles(plan, is_first=True))
            handed.append(now)
            ends.append(end)
            cycles.append(round(end - begin))
        elif head["op"] == OP_END:
            break
        else:  # NEXT_PAGE
            at += -at % (PAGE_BYTES // 4)
            now += COMMAND_CYCLES
    last = max(ends[-1], done[-1])
    if logs and cycles:
        # The last entry, or the two last ones if the layer before has just ended.
        n_entries = 2 if len(ends) > 2 and ends[-1] - ends[-2] < 2 * MEMORY_LATENCY else 1
        n_bytes = n_entries * LOG_ENTRY_BYTES
        last = max(last, dma.move(ends[-1] + LOG_CYCLES, 1, n_bytes, write=True, source=LOG_SOURCE_CYCLES)[1])
    return Timeline(layers=cycles, total=round(last + END_CYCLES))
