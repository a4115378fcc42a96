"""Times of a run from its command list, on lists made by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
from pumice.passes import timeline
from pumice.passes.cycles import MEMORY_LATENCY, MEMORY_WORDS_PER_CYCLE
from pumice.passes.timeline import predict_run
from pumice.spec.config import Z7020
from pumice.spec.descriptor import (
    COMMAND,
    LAYER,
    OP_END,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    SKIP_FIRST,
    TRANSFER,
)

N_WORDS = 900
DATA = N_WORDS / MEMORY_WORDS_PER_CYCLE
NEAR = 35  # cycles that commands and queues take


@dataclass
class Job:
    """A layer that takes ``n`` cycles, and ``fetch`` more if nothing runs before it."""

    n: int
    fetch: int = 20

    def predicted_cycles(self, plan, *, is_first: bool) -> int:
        """As `passes.jobs.Job`."""
        return self.n + self.fetch * is_first


class Plan:
    """As much of a plan as is looked at."""

    config = Z7020


def command(op: int, payload: list[int], *, after_layers: int = 0, after_transfers: int = 0, skip: int = 0):
    counts = {"after_layers": after_layers, "after_transfers": after_transfers}
    return COMMAND.pack(op=op, n_words=COMMAND.n_words + len(payload), skip=skip, **counts) + payload


def layer(**counts) -> list[int]:
    return command(OP_LAYER, [0] * LAYER.n_words, **counts)


def transfer(write: int = 0, n_words: int = N_WORDS, **counts) -> list[int]:
    fields = {"write": write, "n_runs": 1, "n_bytes": 8 * n_words}
    return command(OP_TRANSFER, TRANSFER.pack(**dict.fromkeys((f.name for f in TRANSFER.fields), 0) | fields), **counts)


def predict(commands: list[list[int]], jobs: list[Job]):
    words = [word for c in [*commands, command(OP_END, [])] for word in c]
    return predict_run(np.array(words, "<u4").tobytes(), jobs, Plan(), logs=False)


def test_layers_follow_each_other():
    result = predict([layer() for _ in range(5)], [Job(1000)] * 5)
    assert result.layers == [1020, 1000, 1000, 1000, 1000]
    assert 5020 < result.total < 5020 + NEAR


@pytest.mark.parametrize("n_layers", [0, 1])
def test_a_layer_waits_for_its_transfer(n_layers):
    """And is counted from there, unless the layer before it takes longer."""
    commands = [*[layer()] * n_layers, transfer(), layer(after_transfers=1)]
    for n in (100, 3000):
        result = predict(commands, [Job(n)] * n_layers + [Job(500)])
        arrives = MEMORY_LATENCY + DATA
        begins = max(arrives, n * n_layers)
        assert 0 < result.total - (begins + 500) < 2 * NEAR
        assert result.layers[-1] in ((520,) if begins == arrives else (500, 520))


def test_a_transfer_waits_for_its_layer():
    commands = [layer(), transfer(after_layers=1), layer(after_transfers=1)]
    result = predict(commands, [Job(1000), Job(500)])
    assert 0 < result.total - (1020 + MEMORY_LATENCY + DATA + 520) < 2 * NEAR


def test_reads_follow_each_other_and_writes_wait():
    one, two, write = (
        predict(commands, []).total for commands in ([transfer()], [transfer()] * 2, [transfer(), transfer(1)])
    )
    assert 0 < one - (MEMORY_LATENCY + DATA) < NEAR
    assert abs(two - one - DATA) < 5
    assert 0 < write - one - (MEMORY_LATENCY + DATA) < NEAR


def test_reads_of_results_hold_the_layer_that_runs():
    commands = [layer(), layer(), transfer(1, after_layers=1)]
    alone, beside = predict(commands[:2], [Job(3000)] * 2), predict(commands, [Job(3000)] * 2)
    assert beside.total - alone.total == N_WORDS // Z7020.n_cores
    assert beside.layers[1] - alone.layers[1] == N_WORDS // Z7020.n_cores


def test_skipped_transfers_take_no_time():
    commands = [transfer(skip=SKIP_FIRST), layer(after_transfers=1)]
    assert predict(commands, [Job(100)]).total < 120 + NEAR


def test_pages():
    """What lies between NEXT_PAGE and the page's end is not looked at."""
    first = [*layer(), *command(OP_NEXT_PAGE, [])]
    rest = [0xFFFF_FFFF] * (PAGE_BYTES // 4 - len(first))
    assert predict([first, rest, layer()], [Job(1000)] * 2).layers == [1020, 1000]


def test_a_full_queue_holds_up_the_layers_behind_it():
    n = timeline.QUEUED_TRANSFERS
    for n_transfers, waits in ((n, False), (n + 4, True)):
        result = predict([*[transfer()] * n_transfers, layer()], [Job(50)])
        late = result.total - 70 - MEMORY_LATENCY - n_transfers * DATA
        assert abs(late) < 4 * NEAR  # the transfers' end is the run's
        ends_first = predict([*[transfer()] * n_transfers, layer(), layer()], [Job(50), Job(100_000)])
        assert (ends_first.total > 100_000 + DATA) is waits
