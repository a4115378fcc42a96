"""Simulated boards that the tests of this folder share; building one takes about a minute unless it is cached."""

import pytest
from pumice.device.sim import open_sim
from pumice.spec.config import CONFIGS, EngineConfig


@pytest.fixture(scope="session")
def boards():
    """Opens a simulated board once for each configuration and set of options: ``boards("TINY", latency=100)``."""
    opened = {}

    def board(config: str | EngineConfig, **options):
        key = (config, *sorted(options.items()))
        if key not in opened:
            opened[key] = open_sim(CONFIGS[config] if isinstance(config, str) else config, **options)
        return opened[key]

    yield board
    for device in opened.values():
        device.close()
