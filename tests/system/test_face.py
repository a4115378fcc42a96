"""MediaPipe's face detector, whose first maps are larger than Z7020's activation memory."""

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_network
from pumice.device.reference import run_image
from pumice.frontends import load_model
from pumice.quantise import quantise
from pumice.spec.config import Z7020

N_CALIBRATION, SCALE = 4, 6  # of CIFAR-10's images, and how many times larger the network's are


@pytest.mark.long
def test_every_part_is_goldens_on_reference_and_rtl(boards, shared_data):
    graph = load_model(shared_data / "mediapipe_face" / "face_detection_full_range_sparse.tflite")
    with np.load(shared_data / "cifar10" / "test_first500.npz") as data:
        small = data["x"][: N_CALIBRATION + 1].astype(np.float32) / 127.5 - 1
    images = small.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    integer = quantise(graph, images[1:])
    expected = golden.run(integer, golden.quantise(integer.tensors[integer.input], images[0]), keep=True)
    pipeline = compile_network(integer, Z7020)
    board, n = boards("Z7020"), 0
    for image in pipeline.images:
        data = image.pack_inputs(expected)
        board.load(image)
        outputs, _ = run_image(image.data, Z7020, data)
        assert board.run(data).output == outputs
        for name, values in image.unpack_outputs(outputs).items():
            np.testing.assert_array_equal(values.ravel(), expected[name].ravel(), err_msg=name)
            n += 1
    assert (len(pipeline.images), n) == (4, 8)
    assert sum(layer["n_bands"] > 1 for image in pipeline.images for layer in image.metadata["layers"]) > 50
