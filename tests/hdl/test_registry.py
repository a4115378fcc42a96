"""A weight format is two files and its name in one line: copies of the packages get one more."""

import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pumice_hdl.decoders
import pumice_hdl.decoders.values
import pytest
from pumice.spec import formats, registry, values
from pumice.spec.formats import FORMATS, WeightFormat
from pumice.spec.values import VALUE_CODINGS

ROOT = Path(__file__).parents[2]
CODE = 15  # no format has it
USE = """
import numpy as np
from amaranth.back import verilog
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.reference import run_image
from pumice.spec.config import TINY
from pumice_hdl.core.step_decoder import StepDecoder
from tests.compiler.graphs import GraphBuilder

assert "far_decoder" in verilog.convert(StepDecoder(), emit_src=False)
rng = np.random.default_rng(5)
b = GraphBuilder(rng, (5, 6, 3))
graph = b.build(b.conv(b.conv("input", 20), 9, density=0.2))
image = compile_graph(graph, TINY, formats="far+huffman")
assert all(layer["format"].startswith("far:") for layer in image.metadata["layers"]), image.metadata["layers"]
x = rng.integers(-128, 128, (5, 6, 3)).astype(np.int8)
output, _ = run_image(image.data, TINY, image.pack_input(x))
assert np.array_equal(image.unpack_output(output), golden.run(graph, x))
print("far and wide")
"""


def modules(package) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg} - {"base"}


def test_every_file_is_registered_by_its_name():
    assert modules(formats) == modules(pumice_hdl.decoders) == set(FORMATS)
    assert modules(values) == modules(pumice_hdl.decoders.values) == set(VALUE_CODINGS)
    assert all(name == each.name for registered in (FORMATS, VALUE_CODINGS) for name, each in registered.items())


def test_formats_have_codes_of_their_own():
    assert len(formats.FORMATS_BY_CODE) == len(FORMATS)
    assert all(0 <= code <= CODE for code in formats.FORMATS_BY_CODE)
    assert len(values.VALUE_CODINGS_BY_NUMBER) == len(VALUE_CODINGS)


def edit(path: Path, *changes: tuple[str, str]) -> str:
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return text


def test_two_files_and_one_line_add_a_format(tmp_path):
    """CSR once more under another name; compiled for, run by the reference device, and in the gateware."""
    copied = [shutil.copytree(ROOT / source, tmp_path / source) for source in ("host/pumice", "hdl/pumice_hdl")]
    specs, decoders = copied[0] / "spec" / "formats", copied[1] / "decoders"
    (specs / "far.py").write_text(edit(specs / "csr.py", ('name, code = "csr", 6', f'name, code = "far", {CODE}')))
    shutil.copy(decoders / "csr.py", decoders / "far.py")
    (specs / "__init__.py").write_text(edit(specs / "__init__.py", ('"csr")', '"csr", "far")')))
    path = f"{tmp_path / 'host'}:{tmp_path / 'hdl'}:{ROOT}"
    run = subprocess.run(
        [sys.executable, "-c", USE], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.stdout, run.returncode) == ("far and wide\n", 0), run.stderr


IMPORT = "from pumice.spec.formats.csr import Csr\n"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [("none", "", "none"), ("other", IMPORT, "none"), ("two", IMPORT + "class A(Csr): ...\nclass B(Csr): ...", "A, B")],
)
def test_a_file_must_have_one_class(tmp_path, monkeypatch, name, content, found):
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    with pytest.raises(ImportError, match=f"formats.{name} must define one WeightFormat, not {found}$"):
        registry.load_class("pumice.spec.formats", name, WeightFormat)
