"""Every weight format with every value coding: what is written is read back; steps, bits and bounds agree."""

from itertools import combinations

import numpy as np
import pytest
from pumice.spec.coding import CodingRequest, read_row, rebuild_row, write_row
from pumice.spec.formats import FORMATS, FORMATS_BY_CODE, MAX_ADVANCE, MAX_INDEX_BITS, BitReader, BitWriter
from pumice.spec.formats.block import MAX_CODES, Block
from pumice.spec.formats.csr import Csr
from pumice.spec.formats.nm import NM
from pumice.spec.formats.rice import Rice
from pumice.spec.values import MAX_VALUE_BITS, VALUE_CODINGS, VALUE_CODINGS_BY_NUMBER, count_values
from pumice.spec.values.codebook import share_weights

SEED = 7
FIXED = [
    *FORMATS, "csr:10", "csr:3", *(f"rice:{k}" for k in range(7)),
    "nm:1:1", "nm:1:4", "nm:2:4", "nm:3:5", "nm:7:8", "nm:4:16", "nm:16:16",
    "block:1", "block:2", "block:16", "block:32", "block:1:4", "block:4:4", "block:3:5", "block:32:16",
]  # fmt: skip


def random_rows(rng, n_positions, density, values, fmt):
    """Six rows; thinned out where N:M needs it, of few values for the codebook."""
    rows = rng.integers(-128, 128, (6, n_positions)) * (rng.random((6, n_positions)) < density)
    rows[1, -1] = -128
    rows[2] = 0
    rows = rows.astype(np.int8)
    if isinstance(fmt, NM):
        for row in rows:
            for group in np.split(row, range(fmt.m, n_positions, fmt.m)):
                group[np.flatnonzero(group)[fmt.n :]] = 0
    return share_weights(rows, 15) if values == "codebook" else rows


@pytest.mark.parametrize("values", VALUE_CODINGS)
@pytest.mark.parametrize("text", FIXED)
def test_rows_survive_the_stream(text, values):
    """Rows back to back in one stream come out as they went in, read with what the descriptor and the table say."""
    fmt = CodingRequest.parse(text).fixed or FORMATS[text]()
    rng = np.random.default_rng(SEED)
    n_done = 0
    for run in (1, 3, 16, 31, 64, 150):
        for density in (0.0, 0.02, 0.1, 0.5, 1.0):
            n_positions = run * int(rng.integers(1, 5))
            rows = random_rows(rng, n_positions, density, values, fmt)
            if not fmt.supports(rows, run):
                continue
            groups = [rows[i : i + fmt.group] for i in range(0, len(rows), fmt.group)]
            all_steps = [steps for group in groups for steps in fmt.steps(group, run)]
            weights = np.concatenate([s.weight[s.has_value] for s in all_steps])
            coding = VALUE_CODINGS[values].fit(count_values(weights))
            if coding is None:
                continue
            writers = BitWriter(), BitWriter()
            for steps in all_steps:
                assert (steps.index_bits <= MAX_INDEX_BITS).all()
                assert (steps.index >> steps.index_bits == 0).all()
                assert (steps.advance >= 1).all()
                assert fmt.name == "csr" or (steps.advance <= min(MAX_ADVANCE, run)).all()
                write_row(steps, coding, *writers)
            streams = [BitReader(writer.to_bytes()) for writer in writers]
            reader = FORMATS_BY_CODE[fmt.code].from_parameter(fmt.parameter).reader(run)
            read_values = VALUE_CODINGS_BY_NUMBER[coding.number].from_table(coding.table)
            for row, steps in zip(rows, all_steps, strict=True):
                got = read_row(reader, read_values, *streams, len(steps.advance))
                np.testing.assert_array_equal(got, np.column_stack([steps.advance, steps.weight]))
                np.testing.assert_array_equal(rebuild_row(got, n_positions), row)
            assert [s.position for s in streams] == [w.n_bits for w in writers]
            n_done += 1
    assert n_done >= 4


def test_candidates_can_write_their_layer():
    """Left to itself every format finds parameters for an ordinary layer."""
    rows = np.random.default_rng(SEED).integers(-1, 2, (8, 64)).astype(np.int8)
    for fmt in FORMATS.values():
        assert any(candidate.supports(rows, 64) for candidate in fmt.candidates(rows, 64)), fmt.name


@pytest.mark.parametrize("m", range(2, 17))
def test_finds_any_group(m):
    """Rows of a whole number of groups with at most N non-zeros each, from N = 1 to M - 1: told from the rows alone."""
    rng = np.random.default_rng(SEED + m)
    for n in range(1, m):
        groups = np.zeros((40, 12, m), np.int8)
        for group in groups.reshape(-1, m):
            group[rng.permutation(m)[:n]] = 1
        rows = groups.reshape(40, -1)
        found = NM.candidates(rows, 12 * m)
        n_slots = [sum(len(s.advance) for s in f.steps(rows, 12 * m)) for f in found]
        assert NM(n, m) in found, found
        assert n_slots[0] == np.count_nonzero(rows) <= min(n_slots)


def test_no_other_group_takes_fewer_slots_or_bits():
    """Of rows that end anywhere, every M written out."""
    rng = np.random.default_rng(SEED)
    for density in (0.0, 0.03, 0.2):
        rows = (rng.random((9, 100)) < density).astype(np.int8)
        every = [NM(n, m) for m in range(1, 17) for n in range(1, m + 1) if NM(n, m).supports(rows, 100)]
        sizes = [(sum(len(s.advance) for s in f.steps(rows, 100)), f) for f in every]
        fewest, smallest = min(n for n, _ in sizes), min(n * (8 + f.index_bits) for n, f in sizes)
        found = [(n, n * (8 + f.index_bits)) for n, f in sizes if f in NM.candidates(rows, 100)]
        assert fewest == min(n for n, _ in found)
        assert smallest == min(bits for _, bits in found)


def test_limits():
    """What does not fit is refused."""
    ones = np.ones((2, 64), np.int8)
    assert NM(2, 4).supports(np.tile([1, 0, 0, 1], (1, 8)).astype(np.int8), 7)
    assert not NM(2, 4).supports(np.tile([1, 1, 0, 1], (1, 8)).astype(np.int8), 32)
    assert not NM(4, 4).supports(ones, 6)
    assert not Csr(6).supports(ones, 65)
    assert Csr(6).supports(np.ones((1, 64 << 10), np.int8), 64)
    assert not Csr(6).supports(np.ones((1, (64 << 10) + 1), np.int8), 64)
    assert Block(1, 2).supports(np.ones((2, MAX_CODES), np.int8), 64)
    assert not Block(1, 2).supports(np.ones((2, MAX_CODES + 1), np.int8), 64)
    assert VALUE_CODINGS["codebook"].fit(count_values(np.arange(17))) is None
    for text in ("rice:7", "nm:3:2", "nm:1:17", "block:33", "csr:17", "rice:1:2", "rice+zip", "zip", "rice:x"):
        with pytest.raises(ValueError, match=r"rice|nm|block|csr|zip|invalid"):
            CodingRequest.parse(text)


def test_escapes_and_fillers():
    """The exceptions to one non-zero a step, counted."""
    row = np.zeros((1, 200), np.int8)
    row[0, 199] = 1
    counts = {text: len(CodingRequest.parse(text).fixed.steps(row, 200)[0].advance) for text in FIXED if ":" in text}
    assert counts["csr:10"] == 1
    assert [counts[f"rice:{k}"] for k in range(7)] == [200 // 8, 13, 7, 4, 4, 4, 4]
    assert Rice(6).steps(row[:, :1], 1)[0].advance.size == 0
    assert counts["nm:2:4"] == 2 * 49 + 1
    assert counts["block:16"] == 4


@pytest.mark.parametrize("spread", [0.6, 3, 25, 1000])
def test_huffman_is_near_the_entropy(spread):
    """The slots' constraint costs little; uniform values cost 8 bits."""
    rng = np.random.default_rng(SEED)
    values = np.clip(np.rint(rng.laplace(0, spread, 20000)), -128, 127)
    if spread == 1000:
        values = rng.integers(-128, 128, 20000)
    counts = count_values(values)
    coding = VALUE_CODINGS["huffman"].fit(counts)
    p = counts[counts > 0] / counts.sum()
    mean = (counts * coding.lengths).sum() / counts.sum()
    entropy = -(p * np.log2(p)).sum()
    assert entropy <= mean <= entropy + (0.1 if entropy > 1.5 else 0.6)
    assert coding.lengths.max() <= MAX_VALUE_BITS
    assert (coding.lengths > 0).tolist() == (counts > 0).tolist()
    kraft = (2.0 ** -coding.lengths[coding.lengths > 0]).sum()
    assert kraft <= 1


def test_shared_weights():
    """At most as many values as asked for, zeros where they were, near what they replace."""
    rng = np.random.default_rng(SEED)
    weights = np.clip(np.rint(rng.normal(0, 30, (20, 50))), -127, 127).astype(np.int8) * (rng.random((20, 50)) < 0.4)
    shared = share_weights(weights.astype(np.int8))
    assert len(np.unique(shared[shared != 0])) <= 15
    np.testing.assert_array_equal(shared == 0, weights == 0)
    assert np.abs(shared.astype(int) - weights).mean() < 2


@pytest.mark.parametrize("n_values", [1, 2, 3])
def test_shared_weights_are_the_best_there_are(n_values):
    """Against every choice of values, with rows of different importance."""
    rng = np.random.default_rng(SEED)
    weights, importance = rng.integers(-12, 13, (4, 6)).astype(np.int8), np.array([1.0, 4.0, 0.5, 2.0])

    def error(shared: np.ndarray) -> float:
        return float(importance @ np.square(shared.astype(int) - weights).sum(axis=1))

    def moved(values: tuple[int, ...]) -> np.ndarray:
        nearest = np.array(values)[np.abs(weights[..., None].astype(int) - np.array(values)).argmin(axis=-1)]
        return np.where(weights == 0, 0, nearest)

    found = share_weights(weights, n_values, importance)
    choices = combinations([v for v in range(-12, 13) if v], n_values)
    assert len(np.unique(found[found != 0])) <= n_values
    assert error(found) == min(error(moved(values)) for values in choices)
