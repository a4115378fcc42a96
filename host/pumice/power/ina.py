"""INA226 and INA219 power monitors on I2C, for boards without a sensor of their own.

Registers and step sizes: Texas Instruments, data sheets SBOS547 (INA226) and SBOS448 (INA219). Power is the product of
bus and shunt voltage, worked out here: no calibration register, no rounding. Both are averages of 16 conversions.
"""

from dataclasses import dataclass
from typing import Protocol

from ..errors import PowerError
from .rails import Rail

_CONFIGURATION, _SHUNT, _BUS = 0, 1, 2


class Bus(Protocol):
    """What is used of ``smbus2.SMBus``."""

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int, /) -> list[int]:
        """Bytes of a register."""
        ...

    def write_i2c_block_data(self, i2c_addr: int, register: int, data: list[int], /) -> None:
        """Write a register's bytes."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Chip:
    """``configuration``: both voltages, 16 averages, continuous. Steps in volts; ``period_s`` of one averaged pair."""

    configuration: int
    shunt_step: float
    bus_step: float
    bus_shift: int
    period_s: float


CHIPS = {
    "INA226": _Chip(configuration=0x4527, shunt_step=2.5e-6, bus_step=1.25e-3, bus_shift=0, period_s=16 * 2 * 1.1e-3),
    "INA219": _Chip(configuration=0x3E67, shunt_step=10e-6, bus_step=4e-3, bus_shift=3, period_s=2 * 8.51e-3),
}


def open_ina(
    chip: str,
    *,
    shunt_ohms: float,
    scope: str,
    bus: Bus | int = 1,
    address: int = 0x40,
    name: str = "supply",
) -> Rail:
    """A rail measured by a power monitor, which is set up here.

    Parameters
    ----------
    chip : str
        One of `CHIPS`.
    shunt_ohms : float
        Resistance of the shunt that it is connected to.
    scope : str
        What flows through the shunt; see `pumice.power.SCOPES`.
    bus : int or Bus
        Number of the I2C adapter (``/dev/i2c-N``), or an open bus.
    address : int
        The monitor's address.
    name : str
        For reports.

    Raises
    ------
    PowerError
        Unknown chip, a resistance that is not positive, no smbus2, or nothing answers at the address.
    """
    if chip not in CHIPS:
        raise PowerError(f"there is no power monitor {chip!r} here; there are {', '.join(CHIPS)}")
    if not shunt_ohms > 0:
        raise PowerError(f"shunt_ohms must be positive, not {shunt_ohms}")
    kind = CHIPS[chip]
    port = _open_bus(bus) if isinstance(bus, int) else bus
    try:
        port.write_i2c_block_data(address, _CONFIGURATION, list(kind.configuration.to_bytes(2, "big")))
        answer = _register(port, address, _CONFIGURATION, signed=False)
    except OSError as error:
        raise PowerError(f"no {chip} answers at I2C address {address:#04x}: {error}") from error
    if answer != kind.configuration:
        raise PowerError(
            f"what answers at I2C address {address:#04x} is no {chip}: its configuration reads {answer:#06x}, not "
            f"{kind.configuration:#06x}"
        )

    def read() -> float:
        volts = (_register(port, address, _BUS, signed=False) >> kind.bus_shift) * kind.bus_step
        return volts * _register(port, address, _SHUNT, signed=True) * kind.shunt_step / shunt_ohms

    return Rail(name=name, scope=scope, kind=f"measured on rail {name} ({chip})", read=read, period_s=kind.period_s)


def _register(bus: Bus, address: int, register: int, *, signed: bool) -> int:
    return int.from_bytes(bytes(bus.read_i2c_block_data(address, register, 2)), "big", signed=signed)


def _open_bus(number: int) -> Bus:
    try:
        from smbus2 import SMBus
    except ImportError:
        raise PowerError("power monitors on I2C need smbus2: pip install 'pumice[power]'") from None
    try:
        return SMBus(number)
    except OSError as error:
        raise PowerError(f"cannot open I2C adapter {number}: {error.strerror}") from error
