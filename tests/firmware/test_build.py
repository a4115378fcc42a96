"""The firmware's build for the soft core."""

import pytest
from pumice.spec.config import CONFIGS
from pumice.spec.registers import COMMANDS_OFFSET
from pumice_sim import firmware
from pumice_sim.firmware import FirmwareError, build_firmware


@pytest.mark.parametrize("ram_bytes", sorted({config.cpu_ram_bytes for config in CONFIGS.values()} | {16384, 1 << 19}))
def test_is_small(ram_bytes):
    image = build_firmware(ram_bytes)
    assert len(image) % 8 == 0
    assert 1024 < len(image) <= 4096


def test_a_fresh_build_gives_the_same_bytes(tmp_path, monkeypatch):
    expected = build_firmware(16384)
    monkeypatch.setattr(firmware, "CACHE", tmp_path)
    assert build_firmware(16384) == expected


def test_needs_a_command_area():
    with pytest.raises(ValueError, match="ram_bytes"):
        build_firmware(COMMANDS_OFFSET)


def test_compiler_errors_are_reported(tmp_path, monkeypatch):
    (tmp_path / "main.c").write_text("int main(void) { return undeclared; }")
    monkeypatch.setattr(firmware, "SOURCES", tmp_path)
    with pytest.raises(FirmwareError, match="undeclared"):
        build_firmware(16384)
