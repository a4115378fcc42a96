"""Activity of the simulated hardware: its counters and memory traffic, on the digits network."""

import numpy as np
import pytest
from pumice import open_device
from pumice.energy import estimate, load_coefficients
from pumice.network import Model, load

from .test_model import DIGITS, digits_report


@pytest.mark.parametrize("dense", [False, True])
def test_simulated_activity_is_the_predicted_one_but_for_time_and_traffic(dense):
    x = np.random.default_rng(3).integers(-119, 121, (8, 8, 1)).astype(np.int8)
    model = load(DIGITS)
    assert isinstance(model, Model)
    with open_device("sim", config="TINY") as device:
        network = device.load(model, dense=dense)
        recorded = []
        with device.observe(lambda *run: recorded.append(run)), device.power().record() as p:
            result = network.run(x)
    report = estimate(recorded, device.config, load_coefficients("45nm"), backend=device.kind)
    predicted = digits_report(x[None], dense=dense)
    timed = {"cycles", "soft_core_cycles", "dram_bytes"}
    for name, energy in report.layers.items():
        for event, n in vars(energy.activity).items():
            if event not in timed:
                assert n == getattr(predicted.layers[name].activity, event), (name, event)
    assert report.total.activity.cycles == result.cycles
    assert report.total.activity.dram_bytes == result.dram_bytes
    assert report.backend == "simulated"
    assert p.energy_per_inference == pytest.approx(report.total.joules)
    assert p.kind == "modelled (coefficients 45nm, activity simulated)"
