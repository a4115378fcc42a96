"""Host registers against an independent AXI4-Lite master (cocotbext-axi)."""

import pytest
from pumice.spec.config import CONFIGS
from pumice_hdl.system.host_registers import HostRegisters
from pumice_hdl.system.register_block import RegisterBlock

from .harness import simulate


@pytest.mark.parametrize("name", ["TINY", "Z7020"])
def test_host_registers(name):
    simulate(HostRegisters(CONFIGS[name]), "host_registers_tb", n_tests=15, env={"CONFIG": name})


def test_unknown_block_is_refused():
    with pytest.raises(KeyError, match="no register block"):
        RegisterBlock("nowhere")
