"""What the compiler makes of signed arithmetic and of counts, which are where it went wrong or is helped."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from amaranth import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice_sim.build import build_library
from pumice_sim.convert import simulation_verilog

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


@pytest.fixture(scope="module")
def evaluate():
    harness = Path(__file__).with_name("arithmetic.cpp")
    library = ctypes.CDLL(str(build_library("arithmetic", simulation_verilog(Arithmetic()), harness=harness)))

    def evaluate(terms: np.ndarray) -> np.ndarray:
        results = np.zeros_like(terms)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (terms, results)]
        library.evaluate(*pointers, ctypes.c_uint64(len(terms)))
        return results

    return evaluate


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
