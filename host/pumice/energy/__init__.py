"""Modelled energy: what the engine did (`activity`), what each event costs (`coefficients`), their product (`model`).

Nothing here is measured. Measured power is `pumice.power`; `calibrate` brings the two together.
"""

from .activity import ACTIVITIES, Activity, network_activity
from .coefficients import Coefficients, load_coefficients
from .model import Energy, EnergyReport, estimate

__all__ = [
    "ACTIVITIES",
    "Activity",
    "Coefficients",
    "Energy",
    "EnergyReport",
    "estimate",
    "load_coefficients",
    "network_activity",
]
