"""Feature maps that do not fit on chip: which of them live in memory, and in what bands their operations run.

An operation with an input or output in memory runs once for each *band* of output rows. What it reads of an input in
memory, halo included, is brought to a *set* of planes on chip, what it makes of an output in memory is taken from one;
with two sets the transfers of the next band, or of the one before, go on while a band runs. A set lies where no map
that stays on chip does while the operation runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import CompileError
from ..planes import Planes
from ..spec.config import EngineConfig
from .cycles import BAND_CYCLES, MIN_ROW_CYCLES, transfer_cycles
from .memory import lifetimes, peak_bytes, place
from .operation import Operation

ALIGNMENT = 8  # of regions on chip; a transfer's runs lie in words as in memory


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Bytes of a plane that a band reads, from its first position on: ``first`` to ``last``, inclusive."""

    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Planes on chip for the bands of an operation's inputs, or of its output.

    Attributes
    ----------
    address : int
        Of the first set, a multiple of 8.
    n : int
        1 or 2.
    planes : Planes
        How a set's planes lie; those of an operation's further inputs follow ``map_bytes`` behind each other.
    map_bytes, n_maps : int
    """

    address: int
    n: int
    planes: Planes
    map_bytes: int
    n_maps: int = 1

    @property
    def set_bytes(self) -> int:
        """Bytes of a set."""
        return self.map_bytes * self.n_maps

    @property
    def n_bytes(self) -> int:
        """Bytes of all sets."""
        return self.n * self.set_bytes

    def start(self, band: int) -> int:
        """Address of the set that a band uses."""
        return self.address + band % self.n * self.set_bytes


@dataclass(frozen=True, kw_only=True)
class Bands:
    """How an operation with an input or output in memory runs.

    Attributes
    ----------
    rows : int
        Output rows of a band; the last one may have fewer.
    n : int
        Bands; with one, sets hold whole regions.
    reach : Reach
    source, target : Sets or None
        None: inputs or output stay on chip as a whole.
    """

    rows: int
    n: int
    reach: Reach
    source: Sets | None
    target: Sets | None

    @property
    def n_bytes(self) -> int:
        """Bytes of all sets."""
        return sum(sets.n_bytes for sets in (self.source, self.target) if sets)


def tile(
    operations: list[Operation],
    planes: Mapping[str, Planes],
    network_inputs: Sequence[str],
    network_outputs: Sequence[str],
    config: EngineConfig,
) -> tuple[dict[str, int], dict[str, Bands]]:
    """What stays on chip, and how the rest is worked on.

    Everything stays if it fits. Otherwise, as long as something does not fit, the largest map that lives where most is
    needed goes to memory, together with those that an operation reads beside it.

    Returns
    -------
    addresses : dict of str to int
        Region of each tensor that stays on chip.
    bands : dict of str to Bands
        By output: the operations that have an input or output in memory.

    Raises
    ------
    CompileError
        An operation does not fit even in the smallest bands.
    """
    lives = lifetimes(operations, network_inputs, network_outputs)
    on_chip = set(lives)
    while True:
        addresses = place(operations, planes, network_inputs, network_outputs, names=on_chip)
        if peak_bytes(addresses, planes) > config.activation_bytes:
            _spill(_fullest(operations, on_chip, lives, planes), on_chip, operations, lives, planes)
            continue
        bands = {}
        for i, operation in enumerate(operations):
            if on_chip.issuperset((*operation.inputs, operation.output)):
                continue
            start, end = _hole([name for name in on_chip if _lives_at(lives[name], i)], addresses, planes, config)
            best = _best_bands(operation, planes, on_chip, start, end - start, config)
            if best is None:
                _spill(i, on_chip, operations, lives, planes, config=config)
                break
            bands[operation.output] = best
        else:
            return addresses, bands


def _lives_at(life: tuple[int, int], i: int) -> bool:
    return life[0] <= i <= life[1]


def _fullest(operations, on_chip, lives, planes) -> int:
    """The operation that needs most while it runs, of what is on chip."""

    def needed(i: int) -> int:
        return sum(planes[name].n_bytes for name in on_chip if _lives_at(lives[name], i))

    return max(range(len(operations)), key=needed)


def _spill(i, on_chip, operations, lives, planes, *, config: EngineConfig | None = None) -> None:
    """Take the largest tensor that lives while operation ``i`` runs off the chip, and those that are read beside it."""
    candidates = [name for name in on_chip if _lives_at(lives[name], i)]
    if not candidates:
        raise CompileError(_explain(operations[i], planes, config))
    off = {max(sorted(candidates), key=lambda name: planes[name].n_bytes)}
    while off & on_chip:
        on_chip -= off
        off = {name for o in operations if not on_chip.issuperset(o.inputs) for name in o.inputs}


def _explain(operation, planes, config) -> str:
    needed = min(s.n_bytes for s in _possible(operation, planes, set(), 0, config))
    what = "a band of its output" if _height(operation, planes) > 1 else "it, which cannot run in bands,"
    return (
        f"layer {operation.name}: {what} needs {needed} bytes of activation memory but the engine has "
        f"{config.activation_bytes}; use a smaller input, fewer channels, or a configuration with more bank_depth"
    )


def _hole(names, addresses, planes, config) -> tuple[int, int]:
    """The longest stretch of activation memory without a region of ``names``."""
    taken = sorted((addresses[name], addresses[name] + planes[name].n_bytes) for name in names)
    holes, start = [], 0
    for first, end in [*taken, (config.activation_bytes, 0)]:
        holes.append((start, first))
        start = max(start, end)
    return max(holes, key=lambda hole: hole[1] - hole[0])


def _height(operation: Operation, planes: Mapping[str, Planes]) -> int:
    """Output rows that can be computed apart."""
    return 1 if operation.scattered or operation.lane_sum else planes[operation.output].shape[0]


def _best_bands(operation, planes, on_chip, address, room, config) -> Bands | None:
    """The bands with the fewest cycles by `estimate` of those that fit in ``room`` bytes from ``address`` on."""
    fitting = [s for s in _possible(operation, planes, on_chip, address, config) if s.n_bytes <= room]
    return min(fitting, key=lambda s: estimate(operation, planes, s, config), default=None)


def _possible(operation, planes, on_chip, address, config) -> list[Bands]:
    height, step = _height(operation, planes), planes[operation.output].phases[0]
    sizes = sorted({*range(step, height, step), height})
    return [
        _bands(operation, planes, on_chip, rows, n_in, n_out, address, config)
        for rows in sizes
        for n_in in ((1, 2) if rows < height else (1,))
        for n_out in ((1, 2) if rows < height else (1,))
    ]


def _bands(operation, planes, on_chip, rows, n_in, n_out, address, config) -> Bands:
    output = planes[operation.output]
    n = -(-_height(operation, planes) // rows)
    reach = _reach(operation, planes, config)
    source = target = None
    if operation.inputs and not on_chip.issuperset(operation.inputs):
        whole = planes[operation.inputs[0]]
        local, map_bytes = whole, whole.n_bytes
        if n > 1:
            length = (rows - 1) * whole.row_stride + reach.last - reach.first + 1
            pitch = length + ALIGNMENT - 1  # no run's words reach into another's bytes
            pitch += (whole.phase_pitch - pitch) % ALIGNMENT
            local = replace(whole, plane_bytes=pitch, gap_bytes=0)
            map_bytes = _aligned(len(whole.channels) * local.channel_pitch + ALIGNMENT)
        source = Sets(address=address, n=n_in, planes=local, map_bytes=map_bytes, n_maps=len(operation.inputs))
        address += source.n_bytes
    if operation.output not in on_chip:
        local, map_bytes = output, output.n_bytes
        if n > 1:
            pitch = output.gap_bytes + rows // output.phases[0] * output.row_stride
            step = ALIGNMENT if output.phases == (1, 1) else config.n_lanes  # as the engine stores phases
            pitch += (output.phase_pitch - pitch) % step
            local = replace(output, plane_bytes=pitch - output.gap_bytes)
            map_bytes = _aligned(local.gap_bytes + len(output.channels) * local.channel_pitch + ALIGNMENT)
        target = Sets(address=address, n=n_out, planes=local, map_bytes=map_bytes)
    return Bands(rows=rows, n=n, reach=reach, source=source, target=target)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT


def _reach(operation: Operation, planes: Mapping[str, Planes], config: EngineConfig) -> Reach:
    if not operation.inputs:
        return Reach(first=0, last=0)
    source, width = planes[operation.inputs[0]], planes[operation.output].shape[1]
    (sy, sx), stride = source.phases, source.row_stride
    offsets = [tap.dy // sy * stride + tap.dx // sx for tap in operation.taps]
    last = config.n_lanes - 1 if operation.lane_sum else width - 1
    return Reach(first=min(offsets), last=max(offsets) + last)


def estimate(operation: Operation, planes: Mapping[str, Planes], bands: Bands, config: EngineConfig) -> int:
    """Cycles of an operation in bands, engine and transfers overlapped as far as its sets allow."""
    output = planes[operation.output]
    row_cycles = [max(MIN_ROW_CYCLES, int(n)) for n in operation.n_terms]
    n_tiles = -(-bands.rows * operation.row_stride // config.n_lanes)
    compute = n_tiles * max(max(row_cycles), sum(row_cycles) / config.n_cores) + BAND_CYCLES
    load = store = 0
    if bands.source:
        source = bands.source.planes
        n_bytes = (bands.rows - 1) * source.row_stride + bands.reach.last - bands.reach.first + 1
        n_runs = len(source.channels) * source.n_phases
        load = bands.source.n_maps * transfer_cycles(n_runs, n_bytes)
    if bands.target:
        n_runs = len(output.channels) * output.n_phases
        store = transfer_cycles(n_runs, bands.rows // output.phases[0] * output.row_stride)
    one_in, one_out = (sets is not None and sets.n == 1 for sets in (bands.source, bands.target))
    alone = load * one_in + store * one_out  # while the engine waits
    beside = load * (not one_in) + store * (not one_out)
    return round(bands.n * (alone + max(compute, beside)) + load + store)
