"""Segment fetch, with the weight memory it reads; bench: ``tb/fetch_tb.py``."""

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import TINY, Z7020
from pumice_hdl.core.fetch import SegmentFetch
from pumice_hdl.core.weight_memory import WeightMemory, WeightWritePort
from pumice_hdl.layouts import ROW_LAYOUT, ROW_LENGTH_LAYOUT, TABLE_WORD_LAYOUT, tap_pair_layout

from tests.hdl.harness import simulate


class FetchFromMemory(wiring.Component):
    """`SegmentFetch` on a `WeightMemory`."""

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "write": In(WeightWritePort(config)),
                "start": In(1),
                "segment": In(range(config.weight_depth)),
                "striped": In(1),
                "taps": Out(tap_pair_layout(config)),
                "taps_valid": Out(1),
                "table": Out(TABLE_WORD_LAYOUT),
                "table_valid": Out(1),
                "headers": Out(stream.Signature(ROW_LAYOUT)),
                "lengths": Out(stream.Signature(ROW_LENGTH_LAYOUT)),
                "indices": Out(stream.Signature(64)),
                "values": Out(stream.Signature(64)),
                "has_indices": Out(1),
                "loaded": Out(1),
                "no_rows": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.memory = memory = WeightMemory(self.config)
        m.submodules.fetch = fetch = SegmentFetch(self.config)
        for name in ("headers", "lengths", "indices", "values"):
            wiring.connect(m, getattr(fetch, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, wiring.flipped(self.write), memory.write)
        m.d.comb += [
            fetch.start.eq(self.start),
            fetch.segment.eq(self.segment),
            fetch.striped.eq(self.striped),
            memory.address.eq(fetch.memory_address),
            fetch.memory_data.eq(memory.data),
            self.taps.eq(fetch.taps),
            self.taps_valid.eq(fetch.taps_valid),
            self.table.eq(fetch.table),
            self.table_valid.eq(fetch.table_valid),
            self.loaded.eq(fetch.loaded),
            self.no_rows.eq(fetch.no_rows),
            self.has_indices.eq(fetch.has_indices),
        ]
        return m


@pytest.mark.parametrize("config", [TINY, Z7020], ids=lambda c: c.name)
def test_fetch(config):
    simulate(FetchFromMemory(config), "fetch_tb", n_tests=7, env={"PUMICE_CONFIG": config.name})
