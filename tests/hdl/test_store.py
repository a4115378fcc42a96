"""StoreUnit: see tb/store_tb.py."""

import pytest
from pumice.spec.config import TINY, Z7020
from pumice_hdl.engine.store import StoreUnit

from .harness import simulate


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_store(config):
    simulate(StoreUnit(config), "store_tb", n_tests=33, env={"CONFIG": config.name})
