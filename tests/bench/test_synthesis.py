"""The resource table: counting, and asking for a reason when a figure moves."""

import json

import pytest

from bench import record, synthesis

CELLS = {"LUT6": 100, "LUT2": 20, "FDRE": 300, "RAM32M": 5, "SRL16E": 2, "DSP48E1": 4, "RAMB36E1": 3, "CARRY4": 9}
COUNTS = {"LUT": 142, "FF": 300, "DSP": 4, "RAMB18": 6, "URAM": 0}


@pytest.fixture
def results(tmp_path, monkeypatch):
    path = tmp_path / "results.jsonl"
    path.write_text("")
    monkeypatch.setattr(record, "RESULTS", path)
    monkeypatch.setattr(synthesis, "RESULTS", path)
    monkeypatch.setattr(synthesis, "synthesise", lambda name, tools: dict(CELLS))
    return path


def test_cells_in_units_of_a_data_sheet():
    assert synthesis.count_cells(CELLS) == COUNTS
    ecp5 = {"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 7, "MULT18X18D": 1, "DP16KD": 2, "PFUMX": 5}
    assert synthesis.count_cells(ecp5, ecp5=True) == {"LUT": 28, "FF": 7, "DSP": 1, "EBR": 2}


def test_share_of_the_part():
    assert synthesis.share("XC7Z020", "LUT", 26600) == "26600 of 53200 (50.0%)"
    assert synthesis.share("XCK26", "RAMB18", 780) == "780, more than the 288 that XCK26 has"
    assert synthesis.share("XC7Z020", "URAM", 0) == "0"


def test_an_unknown_cell_is_no_zero():
    with pytest.raises(ValueError, match=r"RAM512X1S \(there are 2\) has no size"):
        synthesis.count_cells({"RAM512X1S": 2})


def test_small_changes_are_recorded(results, monkeypatch):
    synthesis.main(["TINY"])
    monkeypatch.setattr(synthesis, "synthesise", lambda name, tools: CELLS | {"FDRE": 309})
    synthesis.main(["TINY"])
    entries = [json.loads(line) for line in results.read_text().splitlines()]
    assert [entry["value"] for entry in entries] == [*COUNTS.values(), *(COUNTS | {"FF": 309}).values()]
    assert {entry["kind"] for entry in entries} == {"synthesis estimate"}
    assert not any("reason" in entry for entry in entries)


@pytest.mark.parametrize("n_ff", [290, 310])
def test_a_change_asks_for_its_reason(results, monkeypatch, n_ff):
    synthesis.main(["TINY"])
    monkeypatch.setattr(synthesis, "synthesise", lambda name, tools: CELLS | {"FDRE": n_ff})
    before = results.read_text()
    for arguments in (["TINY"], ["TINY", "--check"], ["TINY", "--check", "--reason", "none"]):
        with pytest.raises(SystemExit, match=rf"TINY: FF went from 300 to {n_ff} .*--reason"):
            synthesis.main(arguments)
        assert results.read_text() == before
    synthesis.main(["TINY", "--reason", "a queue more"])
    reasons = [json.loads(line).get("reason", "") for line in results.read_text().splitlines()[len(COUNTS) :]]
    assert len(reasons) == len(COUNTS)
    assert all(reason.endswith("; a queue more") for reason in reasons)


def test_other_configurations_do_not_count(results):
    synthesis.main(["TINY"])
    assert synthesis.last_entries("Z7020") == {}


@pytest.mark.long
@pytest.mark.parametrize("name", synthesis.FLOWS)
def test_resources_are_those_of_the_table(name):
    if not synthesis.last_entries(name):
        pytest.skip(f"{name} has never been recorded: python -m bench.synthesis {name}")
    synthesis.main([name, "--check"])
