"""What the compiler makes of signed arithmetic and of counts, which are where it went wrong or is helped."""

import ctypes
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from amaranth import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice_sim.build import build_library
from pumice_sim.convert import simulation_verilog

ROOT = Path(__file__).parents[2]
SEED, N_TERMS = 7, 2000
N_CAUSES = 4


class Arithmetic(wiring.Component):
    """Signed operations of 8, 32 and 64 bits, and how many of four causes are 1, 2, 3; two cycles.

    Members
    -------
    a, b : In(signed(8))
    wide : In(signed(40))
    cause0, ... : In(3)
    product : Out(signed(16))
        ``a * b``.
    order : Out(4)
        ``a > b``, ``a >= b``, ``a < b``, ``a <= b``, lowest first.
    narrow : Out(signed(32))
        ``a * b + b``, negative if it is.
    sum : Out(signed(64))
        ``wide + a``.
    n_first, n_second, n_third : Out(3)
    """

    def __init__(self):
        causes = {f"cause{i}": In(3) for i in range(N_CAUSES)}
        counts = {f"n_{name}": Out(3) for name in ("first", "second", "third")}
        super().__init__(
            {
                "a": In(signed(8)), "b": In(signed(8)), "wide": In(signed(40)), **causes,
                "product": Out(signed(16)), "order": Out(4), "narrow": Out(signed(32)), "sum": Out(signed(64)),
                **counts,
            }
        )  # fmt: skip

    def elaborate(self, platform):
        """Terms are registered, then results."""
        m = Module()
        a, b, wide = Signal(signed(8)), Signal(signed(8)), Signal(signed(40))
        causes = [Signal(3, name=f"stage{i}") for i in range(N_CAUSES)]
        m.d.sync += [a.eq(self.a), b.eq(self.b), wide.eq(self.wide)]
        m.d.sync += [stage.eq(getattr(self, f"cause{i}")) for i, stage in enumerate(causes)]
        m.d.sync += [
            self.product.eq(a * b),
            self.order.eq(Cat(a > b, a >= b, a < b, a <= b)),
            self.narrow.eq(a * b + b),
            self.sum.eq(wide + a),
        ]
        for value, count in enumerate((self.n_first, self.n_second, self.n_third), 1):
            m.d.sync += count.eq(sum(cause == value for cause in causes))
        return m


def call(library: Path, terms: np.ndarray) -> np.ndarray:
    """Results for terms, a row each."""
    results = np.zeros_like(terms)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (terms, results)]
    ctypes.CDLL(str(library)).evaluate(*pointers, ctypes.c_uint64(len(terms)))
    return results


def exercise(library: Path) -> None:
    """Some evaluations in a process of its own."""
    code = f"from {__name__} import *; call({str(library)!r}, np.arange(7 * 500).reshape(500, 7))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.fixture(scope="module", params=[None, exercise], ids=["once", "for its branches"])
def evaluate(request):
    harness = Path(__file__).with_name("arithmetic.cpp")
    verilog = simulation_verilog(Arithmetic())
    return partial(call, build_library("arithmetic", verilog, harness=harness, exercise=request.param))


def test_agrees_with_numpy(evaluate):
    rng = np.random.default_rng(SEED)
    a, b = rng.integers(-128, 128, (2, N_TERMS))
    a[:4], b[:4] = (-128, -128, 127, 127), (-128, 127, -128, 127)
    wide = rng.integers(-(1 << 39), 1 << 39, N_TERMS)
    causes = rng.integers(0, 6, (N_CAUSES, N_TERMS))
    results = evaluate(np.stack([a, b, wide, *causes], axis=1))
    order = (a > b) + 2 * (a >= b) + 4 * (a < b) + 8 * (a <= b)
    counts = [(causes == value).sum(axis=0) for value in (1, 2, 3)]
    np.testing.assert_array_equal(results, np.stack([a * b, order, a * b + b, wide + a, *counts], axis=1))
