"""Sensors that a board brings along: through PYNQ, or through the kernel's hwmon."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .rails import Rail

HWMON = Path("/sys/class/hwmon")
PYNQ_PERIOD_S = 0.1  # regulators and INA226 as the boards set them up give 10 and more values a second
HWMON_PERIOD_S = 0.15  # users of the KV260 see six to seven updates a second
_WATTS_PER_MICROWATT = 1e-6
_SECONDS_PER_MS = 1e-3
_PYNQ_SCOPES = {"INT": "PL core", "VCC_INT": "PL core", "VCCINT": "PL core", "12V": "whole board"}
_UNNAMED = re.compile(r"(power|in|curr)\d+")  # libsensors' label where no configuration names one; chips share them
_HWMON_SCOPES = {"ina260_u14": "whole module"}  # the KV260's module supply


def pynq_rails(get_rails: Callable[[], Mapping[str, Any]] | None = None) -> list[Rail]:
    """PYNQ's rails that tell power, or voltage and current; none where PYNQ or libsensors is missing.

    Rails that the board's image gives no name are left out: PYNQ keeps one of all chips' ``power1``, and `hwmon_rails`
    knows whose it is.

    Parameters
    ----------
    get_rails : callable, optional
        Default: ``pynq.get_rails``.
    """
    found = []
    for name, rail in (get_rails or _get_rails)().items():
        read = _pynq_reader(rail)
        if read is not None and not _UNNAMED.fullmatch(name):
            scope = _PYNQ_SCOPES.get(name, "one supply")
            kind = f"measured on rail {name} (PYNQ)"
            found.append(Rail(name=name, scope=scope, kind=kind, read=read, period_s=PYNQ_PERIOD_S))
    return found


def _get_rails() -> Mapping[str, Any]:
    try:
        import pynq  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    return getattr(pynq, "get_rails", dict)()  # PYNQ.remote has none


def _pynq_reader(rail: Any) -> Callable[[], float] | None:
    power, voltage, current = (getattr(rail, name, None) for name in ("power", "voltage", "current"))
    if power is not None:
        return lambda: float(power.value)
    if voltage is not None and current is not None:
        return lambda: float(voltage.value) * float(current.value)
    return None


def hwmon_rails(root: Path = HWMON) -> list[Rail]:
    """The kernel's sensors that tell power (``power1_input``, microwatts), by their names."""
    found = []
    for folder in sorted(root.glob("hwmon*")):
        path = folder / "power1_input"
        if not path.exists():
            continue
        name = _text(folder / "name") or folder.name
        interval = _text(folder / "update_interval")
        found.append(
            Rail(
                name=name,
                scope=_HWMON_SCOPES.get(name, "one supply"),
                kind=f"measured on rail {name} (hwmon)",
                read=lambda path=path: int(path.read_text()) * _WATTS_PER_MICROWATT,
                period_s=int(interval) * _SECONDS_PER_MS if interval else HWMON_PERIOD_S,
            )
        )
    return found


def _text(path: Path) -> str:
    """A file's text, or nothing where there is none."""
    return path.read_text().strip() if path.exists() else ""
