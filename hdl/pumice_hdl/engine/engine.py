"""The engine: cores, the write bus they share, and the control of layers."""

from amaranth import DomainRenamer, Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import LAYER

from ..core.core import Core
from ..core.row_issue import Activity
from ..layouts import word_layout
from ..pipeline import delayed, domain_with_reset
from ..system.buses import BURST_BEATS, LOG_WRITE_LAYOUT, EnginePort, RegisterBus
from ..system.register_block import RegisterBlock
from .counters import LayerCounters
from .sequencer import LayerSequencer
from .write_bus import WriteBus


class Engine(wiring.Component):
    """Runs layers that the soft core describes on weights and activations that the DMA brings.

    A reset takes two cycles at least: the cores have one of their own, a cycle later.

    Members
    -------
    registers : In(RegisterBus())
        Block ``engine``.
    layers : In(stream of LAYER's words)
        Layers to run, in order; one waits while another runs.
    memories : In(EnginePort(config))
        The DMA's access to activations and weights. Transfers and layers may overlap; keeping them off each other's
        data is the command list's business.
    log : Out(stream of LOG_WRITE_LAYOUT)
        Log entries on their way to soft-core RAM.
    clear : In(1)
        As the register ``clear``.
    completed : Out(32)
        Layers completed since then, results readable and log entry in place.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "registers": In(RegisterBus()),
                "layers": In(stream.Signature(word_layout(LAYER))),
                "memories": In(EnginePort(config)),
                "log": Out(stream.Signature(LOG_WRITE_LAYOUT)),
                "clear": In(1),
                "completed": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.registers = registers = RegisterBlock("engine")
        m.submodules.sequencer = sequencer = LayerSequencer()
        m.submodules.counters = counters = LayerCounters(config)
        m.submodules.write_bus = write_bus = WriteBus(config)
        cores = []
        for i in range(config.n_cores):
            core = Core(config)
            domain_with_reset(m, f"core_{i}")
            m.submodules[f"core_{i}"] = DomainRenamer(f"core_{i}")(core)
            cores.append(core)

        wiring.connect(m, wiring.flipped(self.registers), registers.bus)
        m.d.comb += [getattr(sequencer.layers.p, f.name).eq(getattr(self.layers.p, f.name)) for f in LAYER.fields]
        m.d.comb += [
            sequencer.layers.valid.eq(self.layers.valid),
            self.layers.ready.eq(sequencer.layers.ready),
            registers.status_busy.eq(sequencer.busy),
            registers.completed_n.eq(self.completed),
        ]

        # Weights reach their memories a cycle later, for these are far from the DMA.
        weights, weights_valid = self.memories.weight_writes.p, self.memories.weight_writes.valid
        late_weights = delayed(m, weights, 1)
        # Activities come a cycle late, and what says whose they are with them.
        owned, ahead, complete = (
            delayed(m, value, 1, reset_less=False) for value in (sequencer.busy, sequencer.ahead, sequencer.complete)
        )
        all_idle, all_drained = 1, 1
        for i, core in enumerate(cores):
            wiring.connect(m, core.results, write_bus.results[i])
            m.d.comb += [
                core.front.eq(sequencer.front),
                core.back.eq(sequencer.back),
                core.start.eq(sequencer.start),
                core.enable.eq(sequencer.enable),
                core.banks.eq(write_bus.banks),
                core.banks.enable.eq(Mux(write_bus.cores[i], write_bus.banks.enable, 0)),
                core.weights.enable.eq(delayed(m, weights_valid & (weights.core == i), 1, reset_less=False)),
                core.weights.address.eq(late_weights.address),
                core.weights.data.eq(late_weights.data),
                counters.activities[i].eq(core.activity),
                counters.nonzeros[i].eq(core.nonzero),
            ]
            with m.If(ahead):  # what the front ends did belongs to the next layer
                m.d.comb += counters.activities[i].eq(Activity.FINISH)
            all_idle &= core.idle
            all_drained &= core.drained

        wiring.connect(m, wiring.flipped(self.memories.activation_writes), write_bus.activation_writes)
        # The DMA's reads are dealt to the cores, whose copies are the same, a burst at a time: the first read of one
        # costs its core some cycles, each of the others one.
        reads = self.memories.activation_reads
        first_bit, n_bits = (BURST_BEATS * 8).bit_length() - 1, config.n_cores.bit_length() - 1
        with m.Switch(reads.payload[first_bit : first_bit + n_bits]):
            for i, core in enumerate(cores[: 1 << n_bits]):
                with m.Case(i):
                    m.d.comb += [core.peek.valid.eq(reads.valid), reads.ready.eq(core.peek.ready)]
        peeked, peeked_valid = 0, 0
        for core in cores:
            m.d.comb += core.peek.payload.eq(reads.payload)
            peeked |= Mux(core.peeked_valid, core.peeked, 0)
            peeked_valid |= core.peeked_valid
        wiring.connect(m, counters.log, wiring.flipped(self.log))
        m.d.comb += [
            self.memories.weight_writes.ready.eq(1),
            self.memories.activation_data.payload.eq(peeked),
            self.memories.activation_data.valid.eq(peeked_valid),
            write_bus.layer.eq(sequencer.back),
            sequencer.cores_idle.eq(all_idle),
            sequencer.rows_drained.eq(all_drained),
            sequencer.bus_idle.eq(write_bus.idle),
            sequencer.counters_busy.eq(complete | counters.busy),
            counters.active.eq(owned),
            counters.place.eq(self.completed),
            counters.complete.eq(complete),
        ]
        # The gap filler begins once `back` is in place.
        m.d.sync += write_bus.go.eq(sequencer.go)

        # A layer counts once its log entry is in place.
        with m.If(registers.clear_clear | self.clear):
            m.d.sync += self.completed.eq(0)
        with m.Elif(counters.written):
            m.d.sync += self.completed.eq(self.completed + 1)
        return m
