"""Drain: see tb/drain_tb.py."""

import pytest
from pumice.spec.config import TINY, Z7020
from pumice_hdl.core.drain import Drain

from .harness import simulate


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_drain(config):
    simulate(Drain(config), "drain_tb", n_tests=5, env={"CONFIG": config.name})
