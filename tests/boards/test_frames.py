"""FASM to frames, against a database of two tiles small enough to check by hand."""

import json

import pytest
from pumice.frames import FRAME_WORDS, Database, FrameError, features, frames, text


@pytest.fixture
def database(tmp_path) -> Database:
    block = {"baseaddr": "0x00400100", "offset": 4, "words": 2, "frames": 36}
    memory = {"baseaddr": "0x00C00000", "offset": 0, "words": 10, "frames": 128}
    grid = {
        "CLB_X0Y0": {"type": "CLB", "bits": {"CLB_IO_CLK": block}},
        "CLB_X0Y1": {"type": "CLB", "bits": {"CLB_IO_CLK": block | {"offset": 6}}},
        "RAM_X1Y0": {"type": "RAM", "bits": {"CLB_IO_CLK": block | {"baseaddr": "0x00400200"}, "BLOCK_RAM": memory}},
        "PAD_X2Y0": {"type": "PAD", "bits": {"CLB_IO_CLK": block | {"alias": {"type": "OTHER"}}}},
    }
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "tilegrid.json").write_text(json.dumps(grid))
    (tmp_path / "segbits_clb.db").write_text(
        "CLB.LUT.INIT[00] 32_15\nCLB.LUT.INIT[63] 35_47\nCLB.FF.ZINI 31_05 !30_06\nCLB.ON 30_06\n"
    )
    (tmp_path / "ppips_clb.db").write_text("CLB.A.B always\nCLB.A.C hint\n")
    (tmp_path / "segbits_ram.db").write_text("RAM.WIDTH 01_00\n")
    (tmp_path / "segbits_ram.block_ram.db").write_text("RAM.INIT_00[010] 05_33\n")
    return Database(tmp_path, "part")


def words(address: int, **at: int) -> dict[int, list[int]]:
    return {address: [at.get(f"w{i}", 0) for i in range(FRAME_WORDS)]}


def test_lines_of_fasm():
    lines = [
        "# nothing", "", "T.A.B", "T.C[3:0] = 4'b1010", "T.D[12]", "T.E[255:0] = 256'h8000_0001 # ends", "T.F = 0",
        "T.G = 1", "T.H[1:0] = 2'b00", "T.I[7:6] = 3", "T.J { .attribute = 1 }",
    ]  # fmt: skip
    assert list(features(lines)) == [
        ("T", name) for name in ("A.B", "C[1]", "C[3]", "D[12]", "E[0]", "E[31]", "G", "I[6]", "I[7]", "J")
    ]


@pytest.mark.parametrize("line", ["T.A = 2'b12x", "T.A[3:0] = 5'b10000", "!"])
def test_broken_fasm_is_refused(line):
    with pytest.raises(FrameError, match="FASM line 2"):
        list(features(["T.A", line]))


def test_bits_land_where_the_tile_is(database):
    assert frames(["CLB_X0Y0.LUT.INIT[0]"], database) == words(0x400120, w4=1 << 15)
    assert frames(["CLB_X0Y1.LUT.INIT[63:0] = 64'h8000000000000000"], database) == words(0x400123, w7=1 << 15)
    assert frames(["RAM_X1Y0.WIDTH", "RAM_X1Y0.INIT_00[15:0] = 16'h0400"], database) == {
        **words(0x400201, w4=1), **words(0xC00005, w1=2)
    }  # fmt: skip


def test_both_tiles_of_a_column_share_a_frame(database):
    assert frames(["CLB_X0Y0.ON", "CLB_X0Y1.ON"], database) == words(0x40011E, w4=1 << 6, w6=1 << 6)


def test_connections_without_bits_leave_no_trace(database):
    assert frames(["CLB_X0Y0.A.B", "CLB_X0Y0.A.C"], database) == {}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["CLB_X9Y9.ON"], "no tile CLB_X9Y9"),
        (["CLB_X0Y0.OFF"], "no OFF in CLB_X0Y0, a CLB"),
        (["CLB_X0Y0.LUT.INIT[7]"], r"no LUT.INIT\[7\]"),
        (["PAD_X2Y0.ON"], "shares another tile's bits"),
        (["CLB_X0Y0.ON", "CLB_X0Y0.FF.ZINI"], r"CLB_X0Y0.FF.ZINI clears a bit .* 0x0040011e, 4\.6"),
        (["CLB_X0Y0.FF.ZINI", "CLB_X0Y0.ON"], "clears a bit"),
    ],
)
def test_what_is_wrong_is_said(database, lines, message):
    with pytest.raises(FrameError, match=message):
        frames(lines, database)


def test_text_for_the_packer(database):
    lines = text(frames(["CLB_X0Y1.ON", "CLB_X0Y0.LUT.INIT[0]"], database)).splitlines()
    assert [line.split()[0] for line in lines] == ["0x0040011e", "0x00400120"]
    rows = [line.split()[1].split(",") for line in lines]
    assert [len(row) for row in rows] == [FRAME_WORDS] * 2
    assert [rows[0][6], rows[1][4]] == ["0x00000040", "0x00008000"]
