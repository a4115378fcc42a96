"""The bench of real masks: files, blocks, and what is counted of a run."""

import numpy as np
import pytest
from pumice.device.sim import open_sim
from pumice.spec.config import TINY

from bench import dlmc
from bench.masks import random_values, read_mask

SEED = 9


def test_reads_masks(tmp_path):
    path = tmp_path / "mask.smtx"
    path.write_text("3, 5, 4\n0 2 2 4\n1 4 0 3\n")
    np.testing.assert_array_equal(read_mask(path), np.array([[0, 1, 0, 0, 1], [0] * 5, [1, 0, 0, 1, 0]], bool))


def test_values_are_where_the_mask_is():
    mask = np.random.default_rng(SEED).random((50, 60)) < 0.3
    np.testing.assert_array_equal(random_values(mask, np.random.default_rng(SEED)) != 0, mask)


@pytest.mark.parametrize("shape", [(64, 256), (512, 2048), (1024, 256), (1000, 2048), (3, 769), (900, 768)])
def test_blocks_fit_and_cover_the_mask(shape):
    mask, activation_bytes = np.arange(np.prod(shape)).reshape(shape), 1 << 16
    found = list(dlmc.blocks(mask, activation_bytes))
    assert all(dlmc.N_COLUMNS * sum(block.shape) <= activation_bytes for block in found)
    np.testing.assert_array_equal(np.sort(np.concatenate([block.ravel() for block in found])), mask.ravel())


def test_counts_of_a_run(monkeypatch):
    """A mask of two blocks on the gateware; and a run that differs from the golden model gives no figures."""
    rng = np.random.default_rng(SEED)
    mask = rng.random((24, 300)) < 0.2
    with open_sim(TINY) as board:
        point = dlmc.measure("random", mask, board, rng)
        assert (point.n_blocks, point.n_rows, point.short_rows) == (2, 48, 0)
        assert point.steps * TINY.n_lanes == np.count_nonzero(mask) * 64
        assert point.cycles - 250 < point.computing < point.cycles - 100
        assert 0.97 < point.peak(point.cycles, TINY) < point.peak(point.computing, TINY) <= 1
        ((band, together),) = dlmc.together([point, point])
        assert (band, together.steps, together.sparsity) == (
            "80 to 85 %",
            2 * point.steps,
            pytest.approx(point.sparsity),
        )
        layers = dlmc.stream([rng.random((90, 90)) < density for density in (0.5, 0.4, 0.3, 0.2)], board, rng)
        assert any(layer.streamed for layer in layers)
        assert all(0.9 < layer.peak < 1 for layer in layers), layers
        monkeypatch.setattr(dlmc.golden, "run", lambda graph, x: np.zeros(1))
        with pytest.raises(SystemExit, match="differs from the golden model"):
            dlmc.measure("random", mask, board, rng)
