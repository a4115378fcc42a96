"""Step decoder: all index decoders and value decoders, of which the layer's work."""

from functools import reduce
from operator import or_

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.formats import FORMATS, MAX_ADVANCE, MAX_INDEX_BITS
from pumice.spec.values import MAX_VALUE_BITS, VALUE_CODINGS

from ..decoders import DECODERS
from ..decoders.values import VALUE_DECODERS, VALUE_LATENCY
from ..layouts import LAYER_LAYOUT, STEP_LAYOUT, TABLE_WORD_LAYOUT
from ..pipeline import delayed


class StepDecoder(wiring.Component):
    """One step a cycle from the bits of both streams, in the layer's format and value coding.

    Members
    -------
    layer : In(LAYER_LAYOUT)
        ``format, parameter, values, n_channels`` are used; constant from three cycles before a step to ``latency``
        cycles after it.
    window, value_window : In(16), In(12)
        The next bits of the index stream and of the value stream.
    index_bits, value_bits : Out(5), Out(4)
        Bits of the step's index, 0..16, and if it has a value, of that, 1..12.
    first, take : In(1)
        The step is the first of its row; it is used in this cycle.
    has_value : Out(1)
        The step has a value; combinational.
    step : Out(STEP_LAYOUT)
        The step that was taken in the previous cycle.
    weight : Out(signed(8))
        Weight of the step that was taken ``latency`` cycles ago; 0 if none was or it has no value.
    table, table_valid : In(TABLE_WORD_LAYOUT), In(1)
        The segment's value table.

    Attributes
    ----------
    latency : int
        Cycles from a step to its weight.
    """

    latency = VALUE_LATENCY + 1

    def __init__(self):
        super().__init__(
            {
                "layer": In(LAYER_LAYOUT),
                "window": In(MAX_INDEX_BITS),
                "value_window": In(MAX_VALUE_BITS),
                "index_bits": Out(range(MAX_INDEX_BITS + 1)),
                "value_bits": Out(range(MAX_VALUE_BITS + 1)),
                "first": In(1),
                "take": In(1),
                "has_value": Out(1),
                "step": Out(STEP_LAYOUT),
                "weight": Out(signed(8)),
                "table": In(TABLE_WORD_LAYOUT),
                "table_valid": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer = self.layer
        parameter = delayed(m, layer.parameter, 1, reset_less=False)  # of this core: it comes from afar
        longest = Signal(range(MAX_ADVANCE))
        m.d.sync += longest.eq(Mux(layer.n_channels >= MAX_ADVANCE, MAX_ADVANCE - 1, layer.n_channels - 1))
        steps, index_bits, have_value = [], [], []
        for name, decoder_class in DECODERS.items():
            m.submodules[f"{name}_decoder"] = decoder = decoder_class()
            selected = _selected(m, layer.format, FORMATS[name].code)
            m.d.comb += [
                decoder.window.eq(self.window),
                decoder.first.eq(self.first),
                decoder.parameter.eq(parameter),
                decoder.longest.eq(longest),
                decoder.take.eq(self.take & selected),
            ]
            steps.append(_gated(decoder.step.as_value(), selected))
            index_bits.append(_gated(decoder.index_bits, selected))
            have_value.append(decoder.has_value & selected)

        weights, value_bits = [], []
        for name, decoder_class in VALUE_DECODERS.items():
            m.submodules[f"{name}_values"] = decoder = decoder_class()
            selected = _selected(m, layer.values, VALUE_CODINGS[name].number)
            m.d.comb += [
                decoder.window.eq(self.value_window),
                decoder.table.eq(self.table),
                decoder.table_valid.eq(self.table_valid),
            ]
            weights.append(_gated(decoder.weight.as_unsigned(), selected))
            value_bits.append(_gated(decoder.value_bits, selected))
        m.d.comb += [
            self.step.eq(reduce(or_, steps)),
            self.index_bits.eq(reduce(or_, index_bits)),
            self.has_value.eq(reduce(or_, have_value)),
            self.value_bits.eq(reduce(or_, value_bits)),
        ]
        has_weight = delayed(m, self.take & self.has_value, VALUE_LATENCY, reset_less=False)
        m.d.sync += self.weight.eq(_gated(reduce(or_, weights), has_weight).as_signed())
        return m


def _selected(m: Module, field, code: int) -> Signal:
    """A register: the layer's ``field`` says ``code``."""
    selected = Signal()
    m.d.sync += selected.eq(field == code)
    return selected


def _gated(value, enable):
    """``value``, or zeros: what is ORed is less deep than what is multiplexed by a code."""
    return value & enable.replicate(len(value))
