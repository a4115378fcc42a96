"""PyTorch modules give what torch gives."""

import numpy as np
import pytest
from pumice.errors import ModelError, PumiceError
from pumice.floating import FloatGraph, run_all
from pumice.frontends import load_model
from pumice.frontends.torch import load_module

torch = pytest.importorskip("torch", reason="the extra torch is not installed")
SEED = 3


class Net(torch.nn.Module):
    """Most layers that the front end knows, with a skip, two branches and two outputs."""

    def __init__(self):
        super().__init__()
        n = torch.nn
        self.first = n.Sequential(n.Conv2d(3, 8, 3, 2, 1, bias=False), n.BatchNorm2d(8), n.ReLU6())
        self.deep = n.Sequential(n.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=8), n.LeakyReLU(0.1), n.Conv2d(8, 8, 1))
        self.up = n.ConvTranspose2d(16, 4, 4, 2, 1)
        self.head = n.Sequential(n.AdaptiveAvgPool2d(1), n.Flatten(), n.Linear(16, 5), n.Sigmoid())

    def forward(self, x):
        """Two outputs: a larger map, and five numbers."""
        x = self.first(x)
        x = torch.cat([x + self.deep(x), torch.nn.functional.max_pool2d(x, 3, 1, 1)], 1)
        return torch.nn.functional.interpolate(self.up(x), scale_factor=2, mode="bilinear"), self.head(x)


def test_a_module_is_torchs():
    torch.manual_seed(SEED)
    net, x = Net(), torch.randn(1, 3, 16, 16)
    for _ in range(3):
        net(torch.randn(4, 3, 16, 16))  # so that batch normalisation does something
    graph = load_module(net, x)
    assert isinstance(graph, FloatGraph)
    assert (graph.name, net.training) == ("Net", True)
    with torch.no_grad():
        expected = net.eval()(x)
    tensors = run_all(graph, x.numpy().transpose(0, 2, 3, 1))
    made = [tensors[name] for name in (graph.output, *graph.further_outputs)]
    np.testing.assert_allclose(made[0].transpose(0, 3, 1, 2), expected[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(made[1].reshape(1, 5), expected[1].numpy(), atol=1e-5)


def test_one_dimension():
    torch.manual_seed(SEED)
    net = torch.nn.Sequential(torch.nn.Conv1d(2, 4, 5, 2, 2), torch.nn.Tanh(), torch.nn.AvgPool1d(2)).eval()
    x = torch.randn(1, 2, 20)
    graph = load_module(net, x, "line")
    made = run_all(graph, x.numpy().transpose(0, 2, 1)[:, None])[graph.output]
    np.testing.assert_allclose(made[:, 0].transpose(0, 2, 1), net(x).detach().numpy(), atol=1e-5)


def test_what_is_no_module_is_refused():
    with pytest.raises(PumiceError, match=r"a torch\.nn\.Module is expected, not dict"):
        load_module({}, torch.zeros(1, 2))
    with pytest.raises(ModelError, match="cannot export"):
        load_module(torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 2, 8, 8))


def test_pickles_are_never_loaded(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"a pickle.*runs code"):
        load_model(tmp_path / "net.pt")
