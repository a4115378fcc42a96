"""MediaPipe's face detector: sparse float16, two outputs, parts on the host."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from pumice import floating, golden
from pumice.frontends import load_model
from pumice.quantise import quantise

N_IMAGES, N_CALIBRATION, SCALE = 20, 32, 6


@pytest.mark.long
def test_int8_correlates_with_literts_float_outputs(shared_data):
    path = shared_data / "mediapipe_face" / "face_detection_full_range_sparse.tflite"
    graph = load_model(path)
    with np.load(shared_data / "cifar10" / "test_first500.npz") as data:
        small = data["x"][: N_IMAGES + N_CALIBRATION].astype(np.float32) / 127.5 - 1
    images = small.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    test = images[:N_IMAGES]
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    expected: dict[str, list[np.ndarray]] = {}
    for image in test:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        for entry in interpreter.get_output_details():
            expected.setdefault(entry["name"], []).append(interpreter.get_tensor(entry["index"]).ravel().copy())
    assert list(expected) == [graph.output, *graph.further_outputs]
    real = floating.run_all(graph, test[:2])
    integer = quantise(graph, images[N_IMAGES:], method="mse")
    source = integer.tensors[integer.input]
    made = [golden.run(integer, golden.quantise(source, image), keep=True) for image in test]
    for name, values in expected.items():
        np.testing.assert_allclose(real[name].reshape(2, -1), values[:2], atol=1e-3)
        own = np.array([golden.dequantise(integer.tensors[name], tensors[name]).ravel() for tensors in made])
        correlation = np.corrcoef(own.ravel(), np.ravel(values))[0, 1]
        print(f"{name}: {correlation:.4f}")
        assert correlation >= 0.98
