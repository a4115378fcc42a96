"""The MLPerf Tiny networks on Z7020: resident or streamed, every tensor as the golden model's."""

import pytest
from pumice.frontends import load_graph
from pumice.spec.config import Z7020

from .checks import assert_matches_golden

FILES = {
    "vww": "vww/vww_96_int8.tflite",
    "ic": "ic/pretrainedResnet_int8.tflite",
    "kws": "kws/kws_ref_model_int8.tflite",
    "ad": "ad/ad01_int8.tflite",
}


@pytest.mark.parametrize(
    ("name", "predicted_cycles", "n_dropped", "streams"),
    [("vww", 41277, 1950, False), ("ic", 119768, 0, False), ("kws", 27389, 0, False), ("ad", 2833, 0, True)],
)
def test_network_matches_golden(shared_data, name, predicted_cycles, n_dropped, streams):
    path = shared_data / "mlperf_tiny" / FILES[name]
    if not path.exists():
        pytest.skip(f"needs {path.name} in ../shared/data/mlperf_tiny")
    image = assert_matches_golden(load_graph(path), Z7020, seed=1)
    assert image.metadata["predicted_cycles"] == predicted_cycles
    assert sum(image.metadata["dropped_channels"].values()) == n_dropped
    assert (image.metadata["streamed_bytes"] > 0) is streams
