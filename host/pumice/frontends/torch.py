"""PyTorch modules, by way of torch's own exporter to ONNX. Nothing is unpickled: a module is an object in memory."""

import importlib
import io
from typing import Any

from ..errors import ModelError, PumiceError, UnsupportedModelError
from ..floating import FloatGraph
from ..graph import Graph
from ..quantise import assemble_stated
from .onnx import parse_onnx

OPSET = 17


def load_module(module: Any, example: Any, name: str | None = None) -> Graph | FloatGraph:
    """The network of a module in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        Its training mode is left as it was.
    example : torch.Tensor or tuple of them
        An input with a batch of 1; the network is fixed to its shape.
    name : str, optional
        What the graph is called; default: the module's class.

    Returns
    -------
    FloatGraph, or Graph where the module quantises all its activations

    Raises
    ------
    PumiceError
        torch is not installed, or no module is given.
    ModelError
        The module cannot be exported.
    UnsupportedModelError
        It holds something that Pumice cannot run; the message names every such layer.
    """
    try:
        torch = importlib.import_module("torch")  # an import statement would name this file to type checkers
    except ImportError:
        raise PumiceError("PyTorch modules are read with torch: pip install 'pumice[torch]'") from None
    if not isinstance(module, torch.nn.Module):
        raise PumiceError(f"a torch.nn.Module is expected, not {type(module).__name__}")
    file, was_training = io.BytesIO(), module.training
    inputs = example if isinstance(example, tuple) else (example,)
    try:
        torch.onnx.export(module.eval(), inputs, file, opset_version=OPSET, dynamo=False)
    except torch.onnx.errors.UnsupportedOperatorError as error:
        raise UnsupportedModelError(f"torch cannot export this module: {error}") from error
    except (RuntimeError, TypeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
        raise ModelError(f"torch cannot export this module: {error}") from error
    finally:
        module.train(was_training)
    graph = parse_onnx(file.getvalue(), name or type(module).__name__)
    return assemble_stated(graph) if graph.quantisations else graph
