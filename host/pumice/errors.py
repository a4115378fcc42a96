"""Exceptions of the library; every message says what is wrong, what was expected and what to do."""

from collections.abc import Iterable
from typing import NamedTuple


class PumiceError(Exception):
    """Base of all exceptions that Pumice raises on purpose."""


class ModelError(PumiceError):
    """A model file cannot be read or holds something malformed."""


class LayerCheck(NamedTuple):
    """What a front end found out of one layer of a file; ``problem`` is None where it can run."""

    name: str
    operator: str
    problem: str | None


class UnsupportedModelError(ModelError):
    """A well-formed model holds layers that cannot run; the message names each one, its operator and what to do.

    Attributes
    ----------
    layers : tuple of LayerCheck
        All layers of the model, those that can run too, where the front end came that far; else empty.
    """

    def __init__(self, message: str, layers: Iterable[LayerCheck] = ()):
        super().__init__(message)
        self.layers = tuple(layers)


class ImageError(PumiceError):
    """An image is truncated, foreign, damaged, or built for another engine configuration."""


class InputError(PumiceError):
    """An input array or file has the wrong shape, dtype or length."""


class CompileError(PumiceError):
    """A model does not fit the engine configuration."""


class DeviceError(PumiceError):
    """A device reported a fault or is not the one that was expected."""


class DeviceTimeoutError(DeviceError):
    """A run did not finish in time; the message holds the engine's state."""


class PowerError(PumiceError):
    """A sensor or a meter's file cannot be read, or what it gave is too little for a figure."""


class EnergyError(PumiceError):
    """Coefficients or calibration runs cannot be read, or do not determine anything."""
