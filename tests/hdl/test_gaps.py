"""GapFiller: see tb/gaps_tb.py."""

import pytest
from pumice.spec.config import TINY, Z7020
from pumice_hdl.engine.gaps import GapFiller

from .harness import simulate


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_gaps(config):
    simulate(GapFiller(config), "gaps_tb", n_tests=2, env={"CONFIG": config.name})
