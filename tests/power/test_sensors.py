"""Sensors: PYNQ's rails, hwmon files, INA226 and INA219 on a bus that behaves like them."""

from types import SimpleNamespace

import pytest
from pumice.errors import PowerError
from pumice.power import hwmon_rails, open_ina, pynq_rails
from pumice.power.ina import CHIPS

ADDRESS = 0x40


def sensor(value: float) -> SimpleNamespace:
    return SimpleNamespace(value=value)


def test_pynq_rails_tell_power_or_voltage_times_current():
    rails = {
        "12V": SimpleNamespace(power=sensor(11.5), voltage=None, current=None),
        "INT": SimpleNamespace(power=None, voltage=sensor(0.85), current=sensor(2.0)),
        "3V3": SimpleNamespace(power=None, voltage=sensor(3.3), current=None),
        "1V2": SimpleNamespace(power=sensor(0.25), voltage=sensor(9), current=sensor(9)),
        "power1": SimpleNamespace(power=sensor(5.0), voltage=None, current=None),  # of some chip
    }
    found = {rail.name: rail for rail in pynq_rails(lambda: rails)}
    assert {name: rail.scope for name, rail in found.items()} == {
        "12V": "whole board",
        "INT": "PL core",
        "1V2": "one supply",
    }
    assert [rail.read() for rail in found.values()] == [11.5, 1.7, 0.25]
    assert found["INT"].kind == "measured on rail INT (PYNQ)"


def hwmon(root, n: int, **files: str):
    folder = root / f"hwmon{n}"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_hwmon_sensors_are_found_by_name(tmp_path):
    hwmon(tmp_path, 0, name="cpu_thermal\n", temp1_input="40000\n")
    som = hwmon(tmp_path, 1, name="ina260_u14\n", power1_input="4810000\n")
    hwmon(tmp_path, 2, name="ina226\n", power1_input="250000\n", update_interval="35\n")
    module, other = hwmon_rails(tmp_path)
    assert (module.name, module.scope, module.kind) == (
        "ina260_u14",
        "whole module",
        "measured on rail ina260_u14 (hwmon)",
    )
    assert module.read() == pytest.approx(4.81)
    assert module.period_s == pytest.approx(0.15)  # the KV260's sensor names no interval
    assert (other.name, other.scope, other.period_s) == ("ina226", "one supply", pytest.approx(0.035))
    assert other.read() == pytest.approx(0.25)
    (som / "power1_input").write_text("5000000\n")  # each reading is a new one
    assert module.read() == pytest.approx(5.0)
    (som / "power1_input").unlink()
    with pytest.raises(OSError, match="power1_input"):
        module.read()


def test_no_sensors(tmp_path):
    assert hwmon_rails(tmp_path) == hwmon_rails(tmp_path / "missing") == []


class FakeBus:
    """Registers of one chip, big-endian; nothing else answers."""

    def __init__(self, registers: dict[int, int], *, stuck: bool = False):
        self.registers, self.stuck = registers, stuck

    def read_i2c_block_data(self, address, register, length):
        """Two bytes."""
        self._check(address)
        assert length == 2
        return list((self.registers[register] & 0xFFFF).to_bytes(2, "big"))

    def write_i2c_block_data(self, address, register, data):
        """Two bytes, to the configuration."""
        self._check(address)
        assert register == 0, "only the configuration is written"
        if not self.stuck:
            self.registers[register] = int.from_bytes(bytes(data), "big")

    def _check(self, address):
        if address != ADDRESS:
            raise OSError(121, "Remote I/O error")


# Registers and watts worked out by hand from the data sheets: INA226 has steps of 1.25 mV and 2.5 uV, INA219 of 4 mV
# above three flag bits and 10 uV.
READINGS = [
    ("INA226", 4000, 8000, 0.1, 5.0 * 0.02 / 0.1),
    ("INA226", 9600, -1, 0.002, 12.0 * -2.5e-6 / 0.002),
    ("INA226", 32767, 32767, 0.01, 40.95875 * 0.0819175 / 0.01),
    ("INA219", 1250 << 3 | 0b010, 4000, 0.1, 5.0 * 0.04 / 0.1),
    ("INA219", 3000 << 3, -250, 0.1, 12.0 * -0.0025 / 0.1),
]


@pytest.mark.parametrize(("chip", "bus_register", "shunt_register", "ohms", "watts"), READINGS)
def test_register_maths(chip, bus_register, shunt_register, ohms, watts):
    bus = FakeBus({0: 0x1234, 1: shunt_register, 2: bus_register})
    rail = open_ina(chip, bus=bus, address=ADDRESS, shunt_ohms=ohms, scope="whole board", name="USB")
    assert rail.read() == pytest.approx(watts, rel=1e-12)
    assert (rail.kind, rail.scope, rail.unit) == (f"measured on rail USB ({chip})", "whole board", "W")


@pytest.mark.parametrize(
    ("chip", "averages", "shunt_time", "bus_time", "mode", "period_s"),
    [
        ("INA226", 0b010 << 9, 0b100 << 3, 0b100 << 6, 7, 16 * (1.1e-3 + 1.1e-3)),
        ("INA219", 0, 0b1100 << 3, 0b1100 << 7, 7, 8.51e-3 + 8.51e-3),
    ],
)
def test_configuration_averages_sixteen_of_both_continuously(chip, averages, shunt_time, bus_time, mode, period_s):
    bus = FakeBus({0: 0})
    rail = open_ina(chip, bus=bus, shunt_ohms=0.1, scope="whole board")
    assert rail.period_s == pytest.approx(period_s)
    # Fixed or range bits: INA226 has 0x4000 always; INA219 32 V and 320 mV.
    fixed = {"INA226": 0x4000, "INA219": 0x2000 | 0x1800}[chip]
    assert bus.registers[0] == fixed | averages | shunt_time | bus_time | mode == CHIPS[chip].configuration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chip": "INA3221"}, "no power monitor 'INA3221'"),
        ({"shunt_ohms": 0}, "positive"),
        ({"shunt_ohms": float("nan")}, "positive"),
        ({"address": 0x41}, "no INA226 answers at I2C address 0x41"),
        ({"bus": FakeBus({0: 0x399F}, stuck=True)}, "is no INA226"),
        ({"bus": 250}, "cannot open I2C adapter 250"),
    ],
)
def test_refuses_what_is_not_there(change, message):
    options = {"chip": "INA226", "bus": FakeBus({0: 0}), "shunt_ohms": 0.1, "scope": "whole board"} | change
    with pytest.raises(PowerError, match=message):
        open_ina(options.pop("chip"), **options)
