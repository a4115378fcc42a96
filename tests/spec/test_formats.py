"""Every weight format: encode, decode and rebuild give the row back; steps, bits and bounds agree."""

import numpy as np
import pytest
from pumice.spec.formats import FORMATS, MAX_ADVANCE, BitReader, BitWriter
from pumice.spec.formats.base import rebuild_row

SEED = 7


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("run", [1, 3, 16, 31, 64, 700])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.5, 1.0])
def test_rows_survive_the_stream(name, run, density):
    """Rows back to back in one stream come out as they went in."""
    fmt = FORMATS[name]
    if not fmt.supports(run):
        pytest.skip(f"{name} does not support runs of {run}")
    rng = np.random.default_rng(SEED)
    n_positions = run * int(rng.integers(1, 5))
    rows = rng.integers(-128, 128, (12, n_positions)) * (rng.random((12, n_positions)) < density)
    rows = rows.astype(np.int8)
    rows[1, -1] = -128
    bits = BitWriter()
    counts = [fmt.encode(row, run, bits) for row in rows]
    reader = BitReader(bits.to_bytes())
    for row, n_steps in zip(rows, counts, strict=True):
        steps = fmt.decode(reader, n_steps)
        assert steps == fmt.steps(row, run)
        assert all(1 <= s.advance <= min(MAX_ADVANCE, max(run, 1)) and -128 <= s.weight <= 127 for s in steps)
        assert sum(s.weight != 0 for s in steps) == np.count_nonzero(row)
        np.testing.assert_array_equal(rebuild_row(steps, n_positions), row)
    assert reader.position == bits.n_bits
