"""``pumice build``: which tools make which board, and what it refuses."""

import pytest
from pumice.build import BITSTREAMS, Board, BuildError, Toolchain
from pumice.cli import boards as command

MANIFEST = {"clock_mhz": 50, "clock_mhz_post_route": 60, "bitstream_bytes": 7}


@pytest.fixture
def built(monkeypatch) -> list:
    calls = []
    monkeypatch.setattr(command, "build_with_vivado", lambda board: calls.append(("vivado", board)))
    monkeypatch.setattr(
        command, "build_ulx3s", lambda config, folder, work, seed: calls.append((config.name, folder, seed)) or MANIFEST
    )
    monkeypatch.setattr(
        command,
        "build_pynq_z2",
        lambda config, folder, tools, work, seeds: calls.append((config.name, folder, *seeds)) or MANIFEST,
    )
    return calls


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({}, ("ULX3S", BITSTREAMS / "ulx3s", 1)),
        ({"config": "TINY", "seed": 9}, ("TINY", BITSTREAMS / "ulx3s", 9)),
        ({"board": Board.KV260}, ("vivado", Board.KV260)),
        ({"board": Board.PYNQ_Z2}, ("vivado", Board.PYNQ_Z2)),
        ({"board": Board.PYNQ_Z2, "toolchain": Toolchain.OPEN}, ("Z7020", BITSTREAMS / "pynq-z2-open", 1, 2, 3, 4)),
        (
            {"board": Board.PYNQ_Z2, "toolchain": Toolchain.OPEN, "config": "TINY", "seed": 7},
            ("TINY", BITSTREAMS / "pynq-z2-open", 7),
        ),
    ],
)
def test_boards_and_their_tools(built, options, call):
    command.build(**options)
    assert built == [call]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"toolchain": Toolchain.VIVADO}, "Vivado does not know ulx3s"),
        ({"board": Board.ZCU104, "toolchain": Toolchain.OPEN}, "open tools do not know the part of zcu104"),
        ({"board": Board.PYNQ_Z2, "seed": 2}, r"takes no options with Vivado: boards/pynq-z2/build\.tcl"),
    ],
)
def test_what_cannot_be_is_refused(built, options, message):
    with pytest.raises(BuildError, match=message):
        command.build(**options)
    assert built == []
