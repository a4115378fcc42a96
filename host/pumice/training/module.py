"""The torch twin of a float graph: same layers, trainable, pruned by masks, quantised in the forward pass on demand."""

import math
from dataclasses import replace

import numpy as np
import torch  # pyright: ignore[reportMissingImports]  extra `train`
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # noqa: N812  # pyright: ignore[reportMissingImports]

from ..errors import UnsupportedModelError
from ..floating import Clamped, FloatAdd, FloatConv, FloatGraph, FloatPool
from ..graph import Layer, Softmax, Window
from ..quantise import WEIGHT_LIMIT, Quantisations

BATCH_NORM_MOMENTUM = 0.1


class GraphModule(nn.Module):
    """Computes what `pumice.floating.run_batch` does, before a last softmax; ``(n, channels, height, width)``.

    Parameters
    ----------
    graph : FloatGraph
        Gives the layers and the first values of weights and biases.
    batch_norm : bool
        Normalise the results of convolutions over the batch while training; `to_graph` folds it into the weights.
        Fully connected layers are left alone. At first it changes nothing in what a trained network computes once
        `start_norms` has seen samples.
    quantisations : dict of str to (float, int), optional
        Scale and zero point of every tensor: activations and weights are then rounded as int8 would round them, and
        gradients pass through the rounding (quantisation-aware training).
    """

    def __init__(self, graph: FloatGraph, *, batch_norm: bool = False, quantisations: Quantisations | None = None):
        super().__init__()
        self.graph = graph
        self.quantisations = quantisations
        self.convs = nn.ModuleDict()
        for layer in graph.layers:
            if isinstance(layer, FloatConv):
                norm = batch_norm and layer.kind != "dense"
                self.convs[_key(layer.name)] = MaskedConv(layer, batch_norm=norm, quantised=quantisations is not None)
            elif not isinstance(layer, FloatAdd | FloatPool | Softmax):
                raise UnsupportedModelError(f"layer {layer.name}: {type(layer).__name__} cannot be trained")

    def conv(self, name: str) -> "MaskedConv":
        """The module of the layer with weights that is called so."""
        module = self.convs[_key(name)]
        assert isinstance(module, MaskedConv)
        return module

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (n, channels) where the network gives a vector."""
        last = self._rounded(self.graph.input, x)
        tensors = {self.graph.input: last}
        for layer in self.graph.layers:
            if isinstance(layer, Softmax):
                break
            result = self._result(layer, [tensors[name] for name in layer.inputs])
            if isinstance(layer, Clamped):
                result = _clamped(result, layer)
            last = tensors[layer.output] = self._rounded(layer.output, result)
        return last.flatten(1)

    @torch.no_grad()
    def start_norms(self, x: np.ndarray) -> None:
        """Let batch normalisation begin with the statistics of samples, and undo it: for networks that are trained.

        ``x``: (n, height, width, channels).
        """
        convs = [self.conv(layer.name) for layer in self.graph.layers if isinstance(layer, FloatConv)]
        for conv in convs:
            conv.starting = True
        self(torch.from_numpy(x).permute(0, 3, 1, 2))
        for conv in convs:
            conv.starting = False

    def _result(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if isinstance(layer, FloatConv):
            return self.conv(layer.name)(inputs[0])
        if isinstance(layer, FloatAdd):
            return inputs[0] + inputs[1]
        assert isinstance(layer, FloatPool)
        window = layer.window
        if layer.mode == "average":
            kernel = [min(sizes) for sizes in zip(window.kernel, inputs[0].shape[2:], strict=True)]
            return F.avg_pool2d(inputs[0], kernel, window.stride)  # the whole map of smaller images too
        x = F.pad(inputs[0], _sides(window), value=-math.inf)
        return F.max_pool2d(x, window.kernel, window.stride, dilation=window.dilation)

    def _rounded(self, name: str, x: Tensor) -> Tensor:
        if self.quantisations is None:
            return x
        scale, zero_point = self.quantisations[name]
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, -128, 127)

    def to_graph(self) -> FloatGraph:
        """The float graph with the weights as they are now, pruned, batch normalisation folded in."""
        layers = [
            self.conv(layer.name).to_layer(layer) if isinstance(layer, FloatConv) else layer
            for layer in self.graph.layers
        ]
        return replace(self.graph, layers=layers, quantisations=dict(self.quantisations or {}))


class MaskedConv(nn.Module):
    """A layer with weights, some of them held at zero by ``mask``: at first those that are zero.

    Gradients of the masked weights are those of weights that are there (feedback: Lin et al., 2020), so that a weight
    whose loss hurts grows again and returns when masks are drawn anew.
    """

    mask: Tensor

    def __init__(self, layer: FloatConv, *, batch_norm: bool, quantised: bool):
        super().__init__()
        self.window, self.groups, self.quantised = layer.window, layer.groups, quantised
        weight = torch.tensor(layer.weights.transpose(0, 3, 1, 2), dtype=torch.float32)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = None if batch_norm else nn.Parameter(torch.tensor(layer.bias, dtype=torch.float32))
        self.norm = nn.BatchNorm2d(len(weight), momentum=BATCH_NORM_MOMENTUM) if batch_norm else None
        self.starting = False
        if self.norm is not None:
            with torch.no_grad():
                self.norm.bias.copy_(torch.tensor(layer.bias))
        self.register_buffer("mask", (self.weight != 0).to(torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """The convolution's results, before the clamp."""
        weight = self.weight + (self.weight * self.mask - self.weight).detach()
        if self.quantised:
            scale = (weight.detach().abs().amax((1, 2, 3)) / WEIGHT_LIMIT).clamp_min(1e-12)
            zeros = torch.zeros_like(scale, dtype=torch.int32)
            weight = torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        window, padding = self.window, (self.window.pad_top, self.window.pad_left)
        if padding != (window.pad_bottom, window.pad_right):
            x, padding = F.pad(x, _sides(window)), (0, 0)
        y = F.conv2d(x, weight, self.bias, window.stride, padding, window.dilation, self.groups)
        norm = self.norm
        if norm is None:
            return y
        if self.starting:
            _undone(norm, y)
            return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return norm(y)

    def saliency(self) -> np.ndarray:
        """Squares of the weights, masked ones too, in the layout of `FloatConv`."""
        return self.weight.detach().square().numpy().transpose(0, 2, 3, 1)

    def set_mask(self, mask: np.ndarray) -> None:
        """Hold other weights at zero; ``mask`` as `pumice.pruning.Pattern.mask` gives it."""
        self.mask.copy_(torch.tensor(mask.transpose(0, 3, 1, 2), dtype=torch.float32))

    @torch.no_grad()
    def to_layer(self, layer: FloatConv) -> FloatConv:
        """``layer`` with these weights."""
        weights = (self.weight * self.mask).numpy().transpose(0, 2, 3, 1).astype(np.float64)
        if self.norm is None:
            assert self.bias is not None
            return replace(layer, weights=weights, bias=self.bias.numpy().astype(np.float64), weight_scales=None)
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).numpy().astype(np.float64)
        bias = norm.bias.numpy() - norm.running_mean.numpy() * factor
        return replace(layer, weights=weights * factor[:, None, None, None], bias=bias, weight_scales=None)


def _undone(norm: nn.BatchNorm2d, y: Tensor) -> None:
    """Give ``norm`` the statistics of ``y``, and a factor and an addend that undo them; its addend so far stays."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.add_(mean)


def _key(name: str) -> str:
    return name.replace(".", "_")  # torch allows no dots in names of modules


def _sides(window: Window) -> tuple[int, int, int, int]:
    return window.pad_left, window.pad_right, window.pad_top, window.pad_bottom


def _clamped(x: Tensor, layer: Clamped) -> Tensor:
    if (layer.low, layer.high) == (0.0, math.inf):
        return F.relu(x)
    return x if layer.low == -math.inf and layer.high == math.inf else x.clamp(layer.low, layer.high)
