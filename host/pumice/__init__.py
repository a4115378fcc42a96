"""Pumice: pruned neural networks on FPGAs.

>>> model = pumice.load("network.tflite")
>>> with pumice.open_device("sim", config="Z7020") as device:
...     result = device.load(model).run(sample)
"""

from .device import open_device
from .network import load

__all__ = ["load", "open_device"]
