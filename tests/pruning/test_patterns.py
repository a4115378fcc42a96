"""Patterns of zeros against what they are defined as."""

import numpy as np
import pytest
from pumice.errors import InputError
from pumice.pruning import parse_pattern

SEED = 4


def _saliency(*shape: int) -> np.ndarray:
    return np.random.default_rng(SEED).random(shape)


@pytest.mark.parametrize("text", ["unstructured", "2:4", "1:8", "block:1x16", "channel"])
def test_a_pattern_is_written_as_it_is_read(text):
    assert str(parse_pattern(text)) == text


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.75, 1.0])
def test_unstructured_keeps_the_most_salient(sparsity):
    saliency = _saliency(6, 3, 3, 5)
    mask = parse_pattern("unstructured").mask(saliency, sparsity)
    assert np.count_nonzero(~mask) == round(sparsity * saliency.size)
    assert not mask.any() or mask.all() or saliency[mask].min() > saliency[~mask].max()


def test_n_of_m_keeps_the_n_largest_of_neighbours_along_the_row():
    saliency = _saliency(3, 2, 2, 4)
    mask = parse_pattern("2:4").mask(saliency, 0.5).reshape(-1, 4)
    expected = np.argsort(np.argsort(saliency.reshape(-1, 4), axis=1), axis=1) >= 2
    assert np.array_equal(mask, expected)


def test_n_of_m_below_its_share_thins_the_cheapest_groups_first():
    saliency = _saliency(3, 2, 2, 4)
    mask = parse_pattern("2:4").mask(saliency, 0.25).reshape(-1, 4)
    kept = mask.sum(axis=1)
    assert sorted(kept) == [2] * 6 + [4] * 6
    dropped = np.sort(saliency.reshape(-1, 4), axis=1)[:, :2].sum(axis=1)
    assert dropped[kept == 2].max() < dropped[kept == 4].min()


def test_blocks_go_as_a_whole_and_the_end_of_a_row_is_a_shorter_one():
    saliency = _saliency(8, 1, 1, 10)
    mask = parse_pattern("block:1x4").mask(saliency, 0.5).reshape(8, 10)
    blocks = np.pad(mask, ((0, 0), (0, 2)), mode="edge").reshape(-1, 4)
    assert np.array_equal(blocks, np.repeat(blocks[:, :1], 4, axis=1))
    assert blocks[:, 0].sum() == 12  # of 24 groups
    assert mask.size - mask.sum() < 0.55 * mask.size


def test_channels_go_as_a_whole():
    mask = parse_pattern("channel").mask(_saliency(8, 3, 3, 2), 0.5).reshape(8, -1)
    assert np.array_equal(mask.all(axis=1), mask.any(axis=1))
    assert mask.all(axis=1).sum() == 4


@pytest.mark.parametrize(
    ("text", "shape", "most"),
    [
        ("channel", (8, 3, 3, 2), 7 / 8),
        ("unstructured", (8, 1, 1, 10), 79 / 80),
        ("block:1x4", (8, 1, 1, 10), 23 / 24),
    ],
)
def test_the_most_that_can_go_leaves_one_group(text, shape, most):
    pattern = parse_pattern(text)
    assert pattern.most(shape) == pytest.approx(most)
    assert pattern.mask(_saliency(*shape), most).any()
    assert not pattern.mask(_saliency(*shape), 1.0).any()


@pytest.mark.parametrize("text", ["", "4:2", "0:4", "2:2", "block:2x16", "block:1x0", "rows", "2:4 "])
def test_other_patterns_are_refused(text):
    with pytest.raises(InputError, match="pattern"):
        parse_pattern(text)


def test_impossible_sparsities_are_refused():
    with pytest.raises(InputError, match=r"0\.\.1"):
        parse_pattern("unstructured").mask(_saliency(1, 1, 1, 2), 1.5)
