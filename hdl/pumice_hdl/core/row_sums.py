"""Row sums: adds up the lanes' shares of the rows of a striped layer and requantises the sums."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.stripes import PACKED_ROWS, QUEUE_ROWS, SHARE_BITS

from ..layouts import LAYER_LAYOUT, ROW_LAYOUT, row_result_layout
from ..pipeline import counted, delayed, half_ahead
from .requantise import Requantiser

MAX_ROWS = 32
"""Rows between their lanes' queues and the write bus."""


class _RowQueue:
    """What a lane, or the row table, brings of each row, until the whole row goes: ``QUEUE_ROWS`` places, never full.

    All queues of a row share ``taken``, how many have gone, ``after``, one more, and ``pop``. ``front`` is of the next
    row, while ``waits``: a register, as the lanes are far apart, and all of them decide whether a row goes.
    """

    def __init__(self, m: Module, name: str, shape, brought, value, taken: Signal, after: Signal, pop: Signal):
        m.submodules[name] = memory = Memory(shape=shape, depth=QUEUE_ROWS, init=[], attrs={"ram_style": "distributed"})
        write, read = memory.write_port(), memory.read_port(domain="comb")
        self.put, self.waits = Signal(range(QUEUE_ROWS), name=f"{name}_put"), Signal(name=f"{name}_waits")
        m.d.sync += [
            self.put.eq(counted(self.put, brought)),
            self.waits.eq(brought | Mux(pop, self.put != after, self.waits)),
        ]
        m.d.comb += [write.en.eq(brought), write.addr.eq(self.put), write.data.eq(value), read.addr.eq(taken)]
        self.front, self.half_full = read.data, half_ahead(self.put, taken)


class RowSums(wiring.Component):
    """A queue of row shares for each lane, an adder tree, one requantiser: a row a cycle if headers keep up.

    A row is summed up once every lane has its share. Shares are signed ``SHARE_BITS`` wide, sums wrap at 32 bits.

    Members
    -------
    shares : In(ArrayLayout(signed(32), config.n_lanes)), done : In(config.n_lanes)
        A lane's share of its next row, in a cycle with its bit of ``done``.
    throttle : Out(1)
        A lane's queue holds ``THROTTLE_ROWS`` or more; there is room for ``QUEUE_ROWS - 1``, those under way included.
    start : In(1)
        A striped layer begins: headers that came before the next cycle are gone.
    headers : In(stream of ROW_LAYOUT)
        Row table of the core.
    layer : In(LAYER_LAYOUT)
        Descriptor of the running layer: ``n_store`` (rows in a write), ``zero_point, low, high`` are used.
    results : Out(stream of row_result_layout(config))
        ``n_store`` rows in lanes 0 and up, at most ``PACKED_ROWS``; ``out_address`` is that of the first one. Nothing
        else is used.
    finished : Out(1)
        The row table's last row has been summed up (or nothing has begun).
    drained : Out(1)
        Every row summed up two cycles ago or more has left.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "shares": In(data.ArrayLayout(signed(32), config.n_lanes)),
                "done": In(config.n_lanes),
                "throttle": Out(1),
                "start": In(1),
                "headers": In(stream.Signature(ROW_LAYOUT)),
                "layer": In(LAYER_LAYOUT),
                "results": Out(stream.Signature(row_result_layout(config))),
                "finished": Out(1, init=1),
                "drained": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        n_lanes = self.config.n_lanes
        pop = Signal()
        # Rows, modulo the queue's length: a lane's queue is never full.
        taken, after = Signal(range(QUEUE_ROWS)), Signal(range(QUEUE_ROWS), init=1)  # after == taken + 1
        m.d.sync += [taken.eq(counted(taken, pop)), after.eq(counted(after, pop))]
        lanes = [
            _RowQueue(m, f"queue{lane}", signed(SHARE_BITS), self.done[lane], self.shares[lane], taken, after, pop)
            for lane in range(n_lanes)
        ]
        m.d.sync += self.throttle.eq(Cat(lane.half_full for lane in lanes).any())

        # A row goes when all of it is there, with its header, and there is room for its result.
        outstanding, next_outstanding = Signal(range(MAX_ROWS + 1)), Signal(range(MAX_ROWS + 1))
        no_room = Signal()
        # What decides is late, and far from where headers come from: some wait here.
        header_room, brought = Signal(), Signal()
        headers = _RowQueue(m, "headers", ROW_LAYOUT, brought, self.headers.payload, taken, after, pop)
        header = headers.front
        with m.If(self.start):
            m.d.sync += [headers.put.eq(taken), headers.waits.eq(0)]
        m.d.sync += header_room.eq(~headers.half_full)
        m.d.comb += [
            self.headers.ready.eq(header_room),
            brought.eq(self.headers.valid & header_room),
            pop.eq(Cat(lane.waits for lane in lanes).all() & headers.waits & ~no_room & ~self.finished),
        ]
        with m.If(pop & header.last):
            m.d.sync += self.finished.eq(1)
        with m.If(self.start):
            m.d.sync += self.finished.eq(0)

        sums = [delayed(m, lane.front, 1) for lane in lanes]
        n_levels = 1
        while len(sums) > 1:
            pairs = zip(sums[::2], sums[1::2], strict=True)
            sums = [delayed(m, (a + b)[: min(32, SHARE_BITS + n_levels)].as_signed(), 1) for a, b in pairs]
            n_levels += 1
        m.submodules.requantiser = unit = Requantiser()
        m.d.comb += [
            unit.accumulator.eq(sums[0]),
            # Registers with a reset: without one they are a LUT each, as SRL16.
            *(
                getattr(unit, n).eq(delayed(m, header[n], n_levels, reset_less=False))
                for n in ("bias", "multiplier", "shift")
            ),
            *(getattr(unit, n).eq(self.layer[n]) for n in ("zero_point", "low", "high")),
        ]

        # Results of neighbouring rows share a write.
        latency = n_levels + unit.latency
        arrives = delayed(m, pop, latency, reset_less=False)
        is_last = delayed(m, header.last, latency)
        address = delayed(m, header.out_address[: self.config.address_bits], latency)
        n_packed, next_packed = Signal(range(PACKED_ROWS)), Signal(range(PACKED_ROWS))
        last_packed = Signal.like(n_packed)  # of a full write
        fills = Signal()  # n_packed == last_packed
        packed = Signal(data.ArrayLayout(8, PACKED_ROWS), reset_less=True)
        first_address = Signal(self.config.address_bits, reset_less=True)
        completes = Signal()
        m.d.comb += [completes.eq(arrives & (is_last | fills)), next_packed.eq(n_packed)]
        m.d.sync += [
            last_packed.eq(self.layer.n_store - 1),
            n_packed.eq(next_packed),
            fills.eq(next_packed == last_packed),
        ]
        with m.If(arrives):
            m.d.comb += next_packed.eq(Mux(completes, 0, n_packed + 1))
            m.d.sync += packed[n_packed].eq(unit.activation)
            with m.If(n_packed == 0):
                m.d.sync += first_address.eq(address)

        entry = data.StructLayout(
            {"data": 8 * PACKED_ROWS, "address": self.config.address_bits, "n_rows": range(PACKED_ROWS + 1)}
        )
        m.submodules.queue = queue = SyncFIFO(width=entry.size, depth=MAX_ROWS)
        w, r = data.View(entry, queue.w_data), data.View(entry, queue.r_data)
        result = self.results.payload
        leaves = Signal()
        m.d.comb += [
            w.data.eq(Cat(Mux(n_packed == i, unit.activation.as_unsigned(), packed[i]) for i in range(PACKED_ROWS))),
            w.address.eq(Mux(n_packed == 0, address, first_address)),
            w.n_rows.eq(n_packed + 1),
            queue.w_en.eq(completes),
            self.results.valid.eq(queue.r_rdy),
            leaves.eq(self.results.valid & self.results.ready),
            queue.r_en.eq(leaves),
            Cat(result.data[:PACKED_ROWS]).eq(r.data),
            result.out_address.eq(r.address),
            result.tile.n_store.eq(r.n_rows),
        ]
        # What enters and leaves is known late, and counts a cycle later.
        left = (outstanding - delayed(m, Mux(leaves, r.n_rows, 0), 1, reset_less=False))[: len(outstanding)]
        m.d.comb += next_outstanding.eq(left + delayed(m, pop, 1, reset_less=False))
        m.d.sync += [
            outstanding.eq(next_outstanding),
            no_room.eq(next_outstanding >= MAX_ROWS - 1),  # one more may be on its way
            self.drained.eq(next_outstanding == 0),
        ]
        return m
