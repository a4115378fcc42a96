"""Slots of striped layers: what is encoded comes back; no lane runs away from the others."""

import numpy as np
import pytest
from pumice.spec.stripes import (
    LEAD_ROWS,
    QUEUE_ROWS,
    THROTTLE_ROWS,
    byte_slots,
    decode_byte_slots,
    decode_pair_slots,
    pair_slots,
)

SEED = 5


def random_rows(rng, density, shape=(40, 9, 8)):
    return (rng.integers(-128, 128, shape) * (rng.random(shape) < density)).astype(np.int8)


@pytest.mark.parametrize("density", [0, 0.02, 0.3, 1])
def test_slots_come_back(density):
    rows = random_rows(np.random.default_rng(SEED), density)
    np.testing.assert_array_equal(decode_byte_slots(byte_slots(rows), rows.shape[1]), rows)
    np.testing.assert_array_equal(decode_pair_slots(pair_slots(rows), len(rows), rows.shape[1]), rows)


def test_a_pair_for_each_nonzero_of_the_fullest_lane():
    rows = random_rows(np.random.default_rng(SEED), 0.4)
    shares = np.maximum(np.count_nonzero(rows, axis=1), 1)  # rows, lanes
    assert len(pair_slots(rows)) == 2 * shares.sum(axis=0).max()  # nobody has to wait here


def test_no_lane_leads_by_more_than_its_queue_allows():
    rows = np.zeros((100, 20, 8), np.int8)
    rows[:, :, 3] = 1  # one lane has all the work
    slots = pair_slots(rows)
    ended = np.cumsum(slots[::2] >> 7, axis=0)
    lead = ended.max(axis=1) - ended.min(axis=1)
    assert lead.max() == LEAD_ROWS < THROTTLE_ROWS < QUEUE_ROWS


def test_broken_slots_are_refused():
    slots = pair_slots(random_rows(np.random.default_rng(SEED), 0.3))
    with pytest.raises(ValueError, match="end 40 rows, not 41"):
        decode_pair_slots(slots, 41, 9)
    with pytest.raises(ValueError, match="stands for row"):
        decode_pair_slots(slots, 40, 2)
