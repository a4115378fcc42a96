"""What each event of `ACTIVITIES` costs: sets in JSON files, a source and a date for every number."""

import json
import math
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from ..errors import EnergyError
from .activity import ACTIVITIES

SHIPPED = ("45nm", "board")
"""Sets that come with the library: published figures, and placeholders to calibrate."""


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """Energy of one event.

    Attributes
    ----------
    pj : float
        Picojoules, not negative.
    source, date : str
        Where the number is from, and of when.
    placeholder : bool
        The number was made up: nothing that uses it may be quoted.
    """

    pj: float
    source: str
    date: str
    placeholder: bool = False


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """A set: its name, what it is for, and a coefficient for each event of `ACTIVITIES`."""

    name: str
    description: str
    values: dict[str, Coefficient]

    @property
    def has_placeholders(self) -> bool:
        """Whether any number is made up."""
        return any(value.placeholder for value in self.values.values())

    def to_json(self) -> dict:
        """What `load_coefficients` reads."""
        return {
            "description": self.description,
            "coefficients": {event: asdict(value) for event, value in self.values.items()},
        }


def load_coefficients(name: str | Path) -> Coefficients:
    """A set by the name of a shipped one (`SHIPPED`), or from a file.

    Raises
    ------
    EnergyError
        No such file or not such a file; a coefficient is missing, unknown, negative, or lacks its source or date.
    """
    path = files("pumice.energy") / "coefficients" / f"{name}.json" if name in SHIPPED else Path(name)
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise EnergyError(
            f"cannot read coefficients {name}: {error.strerror}; there are {', '.join(SHIPPED)}, or give a file"
        ) from error
    except ValueError as error:
        raise EnergyError(f"{name}: not JSON: {error}") from error
    try:
        values = {event: Coefficient(**entry) for event, entry in document["coefficients"].items()}
        description = document["description"]
    except (TypeError, KeyError, AttributeError) as error:
        raise EnergyError(f"{name}: expected a description, and pj, source and date of each number: {error}") from error
    if wrong := set(values) ^ set(ACTIVITIES):
        raise EnergyError(f"{name}: coefficients missing or unknown: {', '.join(sorted(wrong))}")
    for event, value in values.items():
        number = isinstance(value.pj, int | float) and math.isfinite(value.pj) and value.pj >= 0
        if not number or not value.source or not value.date:
            raise EnergyError(f"{name}: {event} needs pj of 0 or more, a source and a date, not {value}")
    return Coefficients(name=Path(name).stem, description=description, values=values)
