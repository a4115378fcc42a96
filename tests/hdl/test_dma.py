"""The DMA against an independent AXI4 memory (cocotbext-axi)."""

import pytest
from pumice.spec.config import CONFIGS
from pumice_hdl.system.dma import Dma

from .axi_ids import WithIds
from .harness import simulate


@pytest.mark.parametrize("name", ["TINY", "Z7020"])
def test_dma(name):
    simulate(WithIds(Dma(CONFIGS[name])), "dma_tb", n_tests=23, env={"CONFIG": name})
