"""WriteBus: see tb/write_bus_tb.py."""

import pytest
from pumice.spec.config import TINY, Z7020
from pumice_hdl.engine.write_bus import WriteBus

from .harness import simulate


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_write_bus(config):
    simulate(WriteBus(config), "write_bus_tb", n_tests=5, env={"CONFIG": config.name})
