"""A rail: what is read, what it covers and how."""

from collections.abc import Callable
from dataclasses import dataclass

SCOPES = ("model", "PL core", "one supply", "whole module", "whole board")
"""What a figure covers, narrow to wide."""


@dataclass(frozen=True, kw_only=True)
class Rail:
    """Something that tells power.

    Attributes
    ----------
    name : str
    scope : str
        One of `SCOPES`.
    kind : str
        How its figures come about: ``measured on rail NAME (SENSOR)``, ``external meter NAME``, ``modelled``.
    read : callable
        Power now, in ``unit``. OSError: it could not be read this time.
    period_s : float
        Seconds from one new value to the next.
    unit : str
        Always watts.
    """

    name: str
    scope: str
    kind: str
    read: Callable[[], float]
    period_s: float
    unit: str = "W"

    def __post_init__(self):
        if self.scope not in SCOPES:
            raise ValueError(f"scope must be one of {', '.join(SCOPES)}, not {self.scope!r}")
        if not self.period_s > 0:
            raise ValueError(f"period_s must be positive, not {self.period_s}")
