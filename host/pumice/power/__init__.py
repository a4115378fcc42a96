"""Power and energy of a device, from its sensors, from a meter beside it, or from the model; see `device_power`.

A figure never loses its kind: ``measured on rail ...``, ``external meter ...``, or ``modelled``.

=================  ==========================  ====================================================================
board              sensor                      what it covers
=================  ==========================  ====================================================================
ZCU104             PYNQ's rails                ``INT``: PL core; ``12V``: whole board
KV260              hwmon ``ina260_u14``        whole module (processor, logic and DRAM together); about 6 updates/s
PYNQ-Z1, PYNQ-Z2   none                        add an INA226 or INA219 (`open_ina`) or a meter (`read_meter`)
=================  ==========================  ====================================================================
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PowerError
from .ina import open_ina
from .meter import Meter, read_meter
from .modelled import ModelledPower
from .rails import SCOPES, Rail
from .record import Figures, LoopTimes, MeasuredPower, Recording, loop_times
from .sensors import HWMON, hwmon_rails, pynq_rails

if TYPE_CHECKING:
    from ..device import Device

__all__ = [
    "SCOPES",
    "Figures",
    "LoopTimes",
    "MeasuredPower",
    "Meter",
    "ModelledPower",
    "Power",
    "Rail",
    "Recording",
    "device_power",
    "hwmon_rails",
    "loop_times",
    "open_ina",
    "pynq_rails",
    "read_meter",
]

ON_BOARD = "on-board"


Power = MeasuredPower | ModelledPower
"""What tells a device's power: its ``rails``, and ``record()``, a context whose work it tells the energy of."""


def device_power(
    device: "Device", *, rails: Sequence[Rail] | None = None, coefficients: str | Path = "45nm", hwmon: Path = HWMON
) -> Power:
    """What tells a device's power: on a board its sensors, elsewhere the model.

    Parameters
    ----------
    rails : sequence of Rail, optional
        Sensors that the caller has opened, such as `open_ina`; default: PYNQ's rails, else hwmon's.
    coefficients : str or path
        For the model; see `pumice.energy.load_coefficients`.
    hwmon : Path
        Where the kernel lists its sensors.

    Raises
    ------
    PowerError
        The board has no sensor that is known.
    EnergyError
        The coefficients cannot be read.
    """
    if device.kind != ON_BOARD:
        if rails is not None:
            raise PowerError(f"no rail carries the current of a {device.kind} device: only the model tells its power")
        return ModelledPower(device, coefficients)
    found = rails or pynq_rails() or hwmon_rails(hwmon)
    if not found:
        raise PowerError(
            "this board has no power sensor that PYNQ or the kernel knows: connect an INA226 (pumice.power.open_ina) "
            "or an external meter (pumice.power.read_meter)"
        )
    return MeasuredPower(device, found)
