"""The DMA against an independent AXI4 memory (cocotbext-axi)."""

import pytest
from pumice.spec.config import CONFIGS
from pumice_hdl.system.dma import Dma

from .axi_ids import WithIds
from .harness import simulate


@pytest.mark.parametrize("name", ["TINY", "Z7020"])
def test_dma(name):
    # With several cores there is one kind of transfer more, to the banks of one core.
    n_tests = 26 if CONFIGS[name].n_cores > 1 else 25
    simulate(WithIds(Dma(CONFIGS[name])), "dma_tb", n_tests=n_tests, env={"CONFIG": name})
