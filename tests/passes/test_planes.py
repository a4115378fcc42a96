"""Planes: every value has its own byte, phases are where strided readers look, padding is the zero point."""

import numpy as np
import pytest
from pumice.planes import Planes

SEED = 3


def _planes(shape, phases) -> Planes:
    height, width = -(-shape[0] // phases[0]), -(-shape[1] // phases[1])
    return Planes(
        shape=shape,
        phases=phases,
        row_stride=width + 2,
        plane_bytes=(height - 1) * (width + 2) + width,
        gap_bytes=2 * (width + 2) + 2,
        channels=tuple(range(0, shape[2], 2)),
        zero_point=-7,
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (6, 4, 4), (9, 2, 1)])
@pytest.mark.parametrize("phases", [(1, 1), (2, 2), (1, 2), (3, 2)])
def test_taps_find_values_and_padding(shape, phases):
    """Read as the engine does: base of the channel, offset of the tap, flattened output position."""
    planes = _planes(shape, phases)
    x = np.random.default_rng(SEED).integers(-128, 128, shape).astype(np.int8)
    data = planes.pack(x)
    assert len(data) == planes.n_bytes
    assert len(data) % 8 == 0
    np.testing.assert_array_equal(planes.unpack(data), x[..., list(planes.channels)])
    region = np.frombuffer(data, np.int8)
    for channel in planes.channels:
        for dy in range(-2, shape[0] + 1):
            for dx in range(-2, shape[1] + 1):
                expected = x[dy, dx, channel] if 0 <= dy < shape[0] and 0 <= dx < shape[1] else -7
                assert region[planes.channel_offset(channel) + planes.tap_offset(dy, dx)] == expected


def test_json_round_trip():
    planes = _planes((5, 7, 3), (2, 2))
    assert Planes.from_json(planes.to_json()) == planes
