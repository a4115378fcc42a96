"""Slots of striped layers: fully connected layers of one sample on all lanes.

Column ``c`` of the layer, the byte at ``vector address + c`` in activation memory, belongs to lane ``c % W`` of every
core; a lane holds its columns, one from each bank row of the vector, and adds up its share of every row of its core.
The core adds up the shares. Slots lie in the activation banks, a byte for each lane in a bank row, and all lanes of a
core read theirs in the same cycle.

Byte slots
    The weight of the lane's next column, zeros included; a row is ``n_vectors`` of them.
Pairs
    First ``advance | last << 7``, then the weight. ``advance`` (0..127) moves on from the row's last column, or from
    the lane's first column at the start of a row; ``last`` ends the lane's share of the row. A share without weights
    is one pair of weight 0. No lane runs ahead of another by more than ``LEAD_ROWS`` rows, which the encoder sees to
    with pairs that neither advance nor weigh nor end a row.
"""

import numpy as np

SHARE_BITS = 24
"""Signed bits of a lane's share of a row; see `MAX_VECTORS`."""

MAX_VECTORS = 128
"""Columns of a lane: 128 products of int8 are at most 2**21, and an advance has seven bits."""

QUEUE_ROWS = 32
"""Places for row shares in a lane's queue, a power of two; one is never used, so that a full queue is no empty one."""
THROTTLE_ROWS = QUEUE_ROWS // 2
"""Reading pauses while a lane holds as many, a half, which is the sign of a difference; 15 more can be under way."""
PACKED_ROWS = 8
"""Rows whose results go in one write, at most."""
LEAD_ROWS = 12
"""Rows that a lane may be ahead of the slowest one; below `THROTTLE_ROWS`, so that pausing never waits for ever."""


def byte_slots(rows: np.ndarray) -> np.ndarray:
    """Slots of rows, int8 (rows, vectors, lanes): uint8, (slots, lanes)."""
    return rows.reshape(-1, rows.shape[2]).view(np.uint8)


def pair_slots(rows: np.ndarray) -> np.ndarray:
    """Slots of rows, int8 (rows, vectors, lanes), in pairs: uint8, (2 * pairs, lanes)."""
    n_rows, _, n_lanes = rows.shape
    weights = rows.transpose(2, 0, 1)
    used = weights != 0
    used[..., 0] |= ~used.any(axis=2)  # a share without weights is a pair as well
    lane, row, place = np.nonzero(used)
    goes_on = (np.diff(lane, append=-1) == 0) & (np.diff(row, append=-1) == 0)
    advance = place - np.where(np.roll(goes_on, 1), np.roll(place, 1), 0)
    in_order = np.stack([advance | ~goes_on << 7, weights[used].view(np.uint8)], axis=1).astype(np.uint8)
    # Pairs of a lane in order, with the row that each belongs to; behind them row n_rows.
    n_pairs = np.bincount(lane, minlength=n_lanes)
    pairs = np.zeros((n_lanes, max(n_pairs) + 1, 2), np.uint8)
    row_of = np.full(pairs.shape[:2], n_rows)
    exists = np.arange(pairs.shape[1]) < n_pairs[:, None]
    pairs[exists], row_of[exists] = in_order, row
    lanes, at = np.arange(n_lanes), np.zeros(n_lanes, int)
    slots = []
    while (ahead := row_of[lanes, at]).min() < n_rows:
        goes = (ahead < n_rows) & (ahead - ahead.min() < LEAD_ROWS)
        slots.append(np.where(goes, pairs[lanes, at].T, 0))
        at += goes
    return np.array(slots, np.uint8).reshape(-1, n_lanes)


def decode_byte_slots(slots: np.ndarray, n_vectors: int) -> np.ndarray:
    """Inverse of `byte_slots`."""
    return slots.view(np.int8).reshape(-1, n_vectors, slots.shape[1])


def decode_pair_slots(slots: np.ndarray, n_rows: int, n_vectors: int) -> np.ndarray:
    """Inverse of `pair_slots`.

    Raises
    ------
    ValueError
        A lane does not end with its last row, or leaves its columns.
    """
    n_lanes = slots.shape[1]
    rows = np.zeros((n_rows, n_vectors, n_lanes), np.int8)
    for lane in range(n_lanes):
        row, place = 0, 0
        for first, second in slots[:, lane].reshape(-1, 2).tolist():
            place += first & 127
            if second:
                if row >= n_rows or place >= n_vectors:
                    raise ValueError(f"a slot of lane {lane} stands for row {row}, column {place}")
                rows[row, place, lane] = np.uint8(second).view(np.int8)
            if first >> 7:
                row, place = row + 1, 0
        if row != n_rows:
            raise ValueError(f"the slots of lane {lane} end {row} rows, not {n_rows}")
    return rows
