"""Tile walker; bench: ``tb/tile_walker_tb.py``."""

import pytest
from pumice.spec.config import TINY, Z7020
from pumice_hdl.core.tile_walker import TileWalker

from tests.hdl.harness import simulate


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_tile_walker(config):
    simulate(TileWalker(config), "tile_walker_tb", n_tests=5, env={"PUMICE_CONFIG": config.name})
