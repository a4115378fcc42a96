"""What `test_pynq` runs inside an environment that holds PYNQ: board and engine come in environment variables."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pumice.device.pynq as backend
import pynq
import pytest
from pumice import golden, load, open_device, selftest
from pumice.errors import DeviceError, DeviceTimeoutError
from pumice.power import pynq_rails
from pumice.spec import registers
from pumice.spec.boards import BOARDS, CONCAT_VLNV, ENGINE, ENGINE_VLNV
from pumice.spec.config import TINY
from pumice_sim.pynq_device import EventSource, InterruptController, SimDevice, write_overlay
from pynq import pmbus
from pynq._cli import get_notebooks
from pynq.buffer import PynqBuffer
from pynqutils.setup_utils import ExtensionsManager

BOARD = BOARDS[os.environ["PUMICE_BOARD"]]
LIBRARY = Path(os.environ["PUMICE_LIBRARY"])
SECONDS = 60.0  # simulated clocks are slow
DRAM_BYTES = 1 << 17


@pytest.fixture(autouse=True)
def board():
    device = SimDevice(BOARD, LIBRARY, dram_bytes=DRAM_BYTES)
    pynq.Device.active_device = device
    yield device
    device.close()


@pytest.fixture(scope="session")
def bitstream(tmp_path_factory):
    return write_overlay(tmp_path_factory.mktemp("overlay"), TINY, BOARD)


@pytest.fixture(scope="session")
def model():
    return load(selftest.MODEL)


@pytest.fixture
def packaged(bitstream, monkeypatch):
    """The overlay as if it were this board's in the package."""
    monkeypatch.setenv("BOARD", BOARD.name.title())
    monkeypatch.setattr(backend, "OVERLAYS", bitstream.parent)
    shutil.copytree(bitstream.parent, bitstream.parent / BOARD.folder, dirs_exist_ok=True)


def samples(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(-128, 128, (n, 8, 8, 1)).astype(np.int8)


def changed(bitstream: Path, folder: Path, old: str, new: str) -> Path:
    """The overlay with another hand-off."""
    shutil.copytree(bitstream.parent, folder, dirs_exist_ok=True)
    text = (folder / "pumice.hwh").read_text()
    assert old in text
    (folder / "pumice.hwh").write_text(text.replace(old, new))
    return folder / "pumice.bit"


def test_overlay_shows_engine_registers_and_clock(bitstream):
    overlay = pynq.Overlay(str(bitstream))
    engine = getattr(overlay, ENGINE)
    assert type(engine) is backend.PumiceEngine
    assert overlay.ip_dict[ENGINE]["phys_addr"] == BOARD.processor.engine_address
    register_map = engine.register_map
    assert int(register_map.MAGIC) == registers.MAGIC
    assert register_map.VERSION.MAJOR == registers.VERSION_MAJOR
    assert (TINY.n_cores, TINY.n_lanes) == (register_map.SHAPE.N_CORES, register_map.SHAPE.N_LANES)
    register_map.WATCHDOG.CYCLES = 0x1234_5678
    assert engine.mmio.read(registers.find("host", "watchdog").offset) == 0x1234_5678
    if overlay.clock_dict:  # PYNQ 3.0 has none off a board
        assert pynq.Clocks.fclk0_mhz == pytest.approx(BOARD.clock_mhz, abs=1e-4)


@pytest.mark.parametrize("wait", backend.WAITS)
def test_network_equals_the_golden_model(bitstream, model, monkeypatch, wait):
    interrupts = []
    add_event = EventSource.add_event
    monkeypatch.setattr(EventSource, "add_event", lambda *call: interrupts.append(call) or add_event(*call))
    with open_device("pynq", bitstream=bitstream, wait=wait, timeout_s=SECONDS) as device:
        if device.engine.hardware.overlay.clock_dict:  # the clock that the processor really makes, not the named one
            assert device.config.clock_mhz == pytest.approx(BOARD.clock_mhz, abs=1e-4) != TINY.clock_mhz
        assert (device.kind, device.config.config_id) == ("simulated", TINY.config_id)
        network = device.load(model)
        for x in samples(3):
            result = network.run(x)
            assert np.array_equal(result.output_raw.ravel(), golden.run(model.graph, x).ravel())
            assert result.clock_mhz == pytest.approx(device.config.clock_mhz)
    assert (len(interrupts) >= 4) if wait == "interrupt" else not interrupts


def test_waits_inside_a_running_event_loop(bitstream, model):
    with open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device:
        network = device.load(model)
        (x,) = samples(1)

        async def cell():
            return network.run(x)

        loop = asyncio.new_event_loop()
        assert np.array_equal(loop.run_until_complete(cell()).output_raw.ravel(), golden.run(model.graph, x).ravel())
        loop.close()


def test_lost_interrupt_is_told(bitstream, model, monkeypatch):
    monkeypatch.setattr(InterruptController, "output", lambda self: False)
    with (
        open_device("pynq", bitstream=bitstream, timeout_s=0.3) as device,
        pytest.raises(DeviceTimeoutError, match=r"loading the image did not finish within .* cycles: state idle"),
    ):
        device.load(model)


@pytest.mark.parametrize("wait", backend.WAITS)
def test_time_out_tells_the_state(bitstream, model, wait):
    with (
        open_device("pynq", bitstream=bitstream, wait=wait, timeout_s=1e-6) as device,
        pytest.raises(DeviceTimeoutError, match=r"did not finish within .* cycles: state (busy|idle); fault none"),
    ):
        device.load(model)


def test_wait_after_one_that_was_given_up(bitstream, model):
    """Its event comes later, for an interrupt that was seen by polling."""
    with open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device:
        network, (x,) = device.load(model), samples(1)

        async def cell():
            return network.run(x)

        assert not device.engine.hardware.wait_interrupt(10)
        loop = asyncio.new_event_loop()
        for result in (loop.run_until_complete(cell()), network.run(x), network.run(x)):
            assert np.array_equal(result.output_raw.ravel(), golden.run(model.graph, x).ravel())
        loop.close()


def test_missing_flush_shows(bitstream, model, monkeypatch):
    monkeypatch.setattr(PynqBuffer, "flush", lambda self: None)
    with (
        open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device,
        pytest.raises(DeviceError, match="fault image"),
    ):
        device.load(model)


def test_missing_invalidate_shows(bitstream, model, monkeypatch):
    monkeypatch.setattr(PynqBuffer, "invalidate", lambda self: None)
    with open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device:
        image, (x,) = device.load(model).image, samples(1)
        run = device.run(image, image.pack_input(x))
    assert not np.array_equal(image.unpack_output(run.output).ravel(), golden.run(model.graph, x).ravel())


def test_memory_returns(bitstream, model):
    with open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device:
        image = model.compile(TINY)
        for _ in range(2 * DRAM_BYTES // len(image.data)):
            device.engine.load(image)
    with open_device("pynq", bitstream=bitstream) as device:
        freed = []
        for _ in range(3):
            freed.append(device.engine.hardware.allocate(DRAM_BYTES // 2))
            freed[-1].free()


def test_buffers_are_zero_for_the_engine_too(bitstream):
    """Not only in the host's cache, from where the zeros could be written back at any time."""
    with open_device("pynq", bitstream=bitstream) as device:
        buffer = device.engine.hardware.allocate(100)
        buffer.invalidate()
        assert not buffer.array.any()


def test_other_configuration_is_refused(bitstream):
    with pytest.raises(DeviceError, match="configuration is TINY, not Z7020"):
        open_device("pynq", config="Z7020", bitstream=bitstream)


def test_overlay_without_engine_is_refused(bitstream, tmp_path):
    with pytest.raises(DeviceError, match="holds 0 engines"):
        open_device("pynq", bitstream=changed(bitstream, tmp_path, ENGINE_VLNV, "acme.org:user:other:1.0"))


def test_something_else_at_the_address_is_refused(bitstream, monkeypatch):
    read, engine = SimDevice.read_registers, BOARD.processor.engine_address
    monkeypatch.setattr(
        SimDevice, "read_registers", lambda self, address, n: bytes(n) if address == engine else read(self, address, n)
    )
    with pytest.raises(DeviceError, match="no Pumice engine here"):
        open_device("pynq", bitstream=bitstream)


def test_overlay_without_interrupt_runs_polling(bitstream, model, tmp_path):
    unseen = changed(bitstream, tmp_path, CONCAT_VLNV, "xilinx.com:inline_hdl:ilconcat:1.0")
    with pytest.raises(DeviceError, match=r"finds no interrupt .* use wait='polling'"):
        open_device("pynq", bitstream=unseen)
    with open_device("pynq", bitstream=unseen, wait="polling", timeout_s=SECONDS) as device:
        device.load(model)


def test_unknown_way_to_wait(bitstream):
    with pytest.raises(DeviceError, match="wait must be one of interrupt, polling, not 'hope'"):
        open_device("pynq", bitstream=bitstream, wait="hope")


def test_bitstream_that_is_not_there(tmp_path):
    with pytest.raises(DeviceError, match=r"PYNQ cannot load .*none\.bit"):
        open_device("pynq", bitstream=tmp_path / "none.bit")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "not one of PYNQ-Z2.* name a bitstream"),
        ("kv260", r"no bitstream for KV260: .*\(pumice build --board kv260\) and copy .* to .*kv260, or name one"),
    ],
)
def test_package_without_bitstream(monkeypatch, tmp_path, name, message):
    monkeypatch.setenv("BOARD", name)
    monkeypatch.setattr(backend, "OVERLAYS", tmp_path)
    with pytest.raises(DeviceError, match=message):
        open_device("pynq")


def test_closed_device(bitstream, model):
    with open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device:
        network = device.load(model)
    for use in (lambda: network.run(samples(1)[0]), lambda: device.engine.hardware.read(0), lambda: device.load(model)):
        with pytest.raises(DeviceError, match=r"closed|no image is loaded"):
            use()


def test_selftest(bitstream, capsys):
    options = ("--bitstream", str(bitstream), "--timeout-s", str(SECONDS), "--repeats", "20")
    assert selftest.main(["--device", "pynq", *options]) == 0
    assert "20 inferences equal the golden model" in capsys.readouterr().out


def test_overlays_and_driver_are_registered():
    """``pynq.Overlay("kv260/pumice.bit")`` finds a bitstream in the package and binds our driver to its engine."""
    assert str(backend.OVERLAYS) in ExtensionsManager("pynq.overlays").paths
    assert (backend.OVERLAYS / BOARD.folder / "pumice.hwh").is_file()
    assert backend.__name__ in [entry.module_name for entry in ExtensionsManager("pynq.lib").list]


def test_rails_of_pynq_are_read(tmp_path, monkeypatch):
    def sensor(name: str, unit: str, text: str) -> pmbus.SysFSSensor:
        (tmp_path / name).write_text(text)
        return pmbus.SysFSSensor(str(tmp_path / name), unit, name, 1e-3)

    rails = {name: pmbus.Rail(name) for name in ("12V", "INT", "power1")}
    rails["12V"].power = sensor("12V_power", "W", "11500")
    rails["INT"].voltage, rails["INT"].current = sensor("INT_voltage", "V", "850"), sensor("INT_current", "A", "2000")
    rails["power1"].power = sensor("power1_power", "W", "1")  # as libsensors names what nobody named
    monkeypatch.setattr(pmbus, "_enumerate_sensors", lambda config_file=None: rails)
    board, module = pynq_rails()
    assert (board.name, board.scope, board.read()) == ("12V", "whole board", pytest.approx(11.5))
    assert (module.name, module.scope, module.read()) == ("INT", "PL core", pytest.approx(1.7))


def test_power_of_the_simulated_device_is_modelled(bitstream, model):
    with open_device("pynq", bitstream=bitstream, timeout_s=SECONDS) as device:
        network = device.load(model)
        with device.power().record() as p:
            network.run_many(samples(2))
    assert (p.kind, p.n_inferences) == ("modelled (coefficients 45nm, activity simulated)", 2)


@pytest.mark.usefixtures("packaged")
def test_notebook_as_pynq_delivers_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["pynq get-notebooks", "pumice", "--device", "sim", "--path", str(tmp_path)])
    get_notebooks.main()
    monkeypatch.chdir(tmp_path / "pumice")
    notebook, names = json.loads(Path("digits.ipynb").read_text()), {}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 5
    for cell in cells:
        exec(cell, names)
    assert len(names["results"]) == 20
    assert sum(names["predictions"] == names["labels"]) >= 19
    assert "of 20 digits right" in capsys.readouterr().out
