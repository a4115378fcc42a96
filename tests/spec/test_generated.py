"""The committed C header and register documentation are those of the spec."""

import re

import pytest
from pumice.spec import generate, registers
from pumice.spec.descriptor import COMMAND, IMAGE_HEADER, LAYER, TRANSFER


@pytest.mark.parametrize("path", generate.outputs(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_is_up_to_date(path):
    assert path.read_text() == generate.outputs()[path], "run python -m pumice.spec.generate"


def test_check_names_stale_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == len(generate.outputs()) == 6
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "docs" / "registers.md").write_text("old")
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert "registers.md is stale" in capsys.readouterr().err


def constants() -> dict[str, int]:
    found = re.findall(r"^#define PUMICE_(\w+) (0x[0-9A-F]+|\d+)u", generate.c_header(), re.M)
    assert len(dict(found)) == len(found) == generate.c_header().count("#define"), "a name is defined twice"
    return {name: int(value, 0) for name, value in found}


def test_header_places_registers():
    names = constants()
    for block, base in registers.BLOCK_BASES.items():
        for r in registers.block(block):
            prefix = f"{block}_{r.reg}".upper()
            assert names[f"{prefix}_ADDRESS"] == base + r.offset
            mask, lsb = (names[f"{prefix}_{r.name.upper()}_{key}"] for key in ("MASK", "LSB"))
            assert mask >> lsb == (1 << r.bits) - 1
            assert lsb == r.lsb
    assert names["DMA_DESCRIPTOR_ADDRESS"] == 0x8000_0140
    assert names["WALKER_BEGIN_ADDRESS"] == 0x8000_0300
    assert "ENGINE_DESCRIPTOR_ADDRESS" not in names  # layers come from the walker


@pytest.mark.parametrize("structure", [IMAGE_HEADER, COMMAND, TRANSFER, LAYER], ids=lambda s: s.name)
def test_header_places_fields(structure):
    names = constants()
    assert names[f"{structure.name}_N_WORDS".upper()] == structure.n_words
    for f in structure.fields:
        word, lsb, mask = (names[f"{structure.name}_{f.name}_{key}".upper()] for key in ("word", "lsb", "mask"))
        words = structure.pack(**{g.name: (-1 if g.signed else (1 << g.bits) - 1) * (g is f) for g in structure.fields})
        assert words == [mask if i == word else 0 for i in range(structure.n_words)]
        assert mask >> lsb == (1 << f.bits) - 1


def test_documentation_lists_everything():
    text = generate.documentation()
    for r in registers.REGISTERS:
        assert f"| {r.reg} | {r.name} |" in text
    for name, _ in registers.FAULTS.values():
        assert f"| {name} |" in text
