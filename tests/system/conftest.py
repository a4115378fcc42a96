"""Simulated boards that the tests of this folder share; building one takes about a minute unless it is cached."""

import pytest
from pumice.device.sim import open_sim
from pumice.spec.config import CONFIGS


@pytest.fixture(scope="session")
def boards():
    """Opens a simulated board once for each configuration and set of options: ``boards("TINY", latency=100)``."""
    opened = {}

    def board(name: str, **options):
        key = (name, *sorted(options.items()))
        if key not in opened:
            opened[key] = open_sim(CONFIGS[name], **options)
        return opened[key]

    yield board
    for device in opened.values():
        device.close()
