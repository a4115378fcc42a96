"""Command lists and the bytes of an image."""

import zlib
from dataclasses import dataclass

import numpy as np

from ..errors import CompileError
from ..spec.config import EngineConfig
from ..spec.descriptor import (
    BUFFER_IMAGE,
    BUFFER_INPUT,
    BUFFER_OUTPUT,
    BUFFER_SCRATCH,
    COMMAND,
    IMAGE_HEADER,
    IMAGE_MAGIC,
    IMAGE_VERSION,
    LAYER,
    OP_END,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    QUEUED_TRANSFERS,
    SKIP_BUT_FIRST,
    SKIP_BUT_LAST,
    SKIP_FIRST,
    SKIP_LAST,
    SPACE_ACTIVATIONS,
    SPACE_BANKS,
    SPACE_WEIGHTS,
    TRANSFER,
)
from .jobs import Copy, Job, Region
from .plan import Plan
from .weights import WORD_BYTES, LayerPass

HEADER_BYTES = IMAGE_HEADER.n_words * 4
PAGE_WORDS = PAGE_BYTES // 4
MAX_COUNT = (1 << 15) - 1
"""Of layers and transfers in a list: half of what the walker's counts tell apart."""


class _CommandList:
    """Commands in order; counts the layers and transfers that it holds."""

    def __init__(self):
        self._words: list[int] = []
        self.n_layers = self.n_transfers = 0
        self._n_skippable = 0  # transfers up to the last skippable one

    def layer(self, descriptor: dict[str, int], name: str, *, after_transfers: int) -> int:
        """Run a layer after so many transfers or, because of skippable ones, more; returns how many, 0: after any."""
        try:
            words = LAYER.pack(**descriptor)
        except ValueError as error:
            raise CompileError(f"layer {name} is too large for the engine: {error}") from error
        after_transfers = after_transfers and max(after_transfers, self._n_skippable)
        self._put(OP_LAYER, words, 0, after_transfers)
        self.n_layers += 1
        return after_transfers

    def transfer(self, *, after_layers: int = 0, core: int = 0, write: int = 0, skip: int = 0, **fields: int) -> None:
        runs = {"n_runs": 1, "local_pitch": 0, "pitch": 0}
        self._put(OP_TRANSFER, TRANSFER.pack(write=write, core=core, **(runs | fields)), after_layers, 0, skip)
        self.n_transfers += 1
        if skip:
            self._n_skippable = self.n_transfers

    def end(self) -> bytes:
        """Close the list and return its bytes. CompileError: more commands than the engine can count."""
        if max(self.n_layers, self.n_transfers) > MAX_COUNT:
            raise CompileError(
                f"the network takes {self.n_layers} passes and {self.n_transfers} transfers, where up to {MAX_COUNT} "
                "can be counted: use a smaller network, or a configuration with more weight_depth or bank_depth"
            )
        self._put(OP_END, [], self.n_layers, self.n_transfers)
        return np.array(self._words, "<u4").tobytes()

    def _put(self, op: int, payload: list[int], after_layers: int, after_transfers: int, skip: int = 0) -> None:
        n_words = COMMAND.n_words + len(payload)
        room = -len(self._words) % PAGE_WORDS
        if 0 < room < n_words:
            rest = COMMAND.pack(op=OP_NEXT_PAGE, n_words=COMMAND.n_words, skip=0, after_layers=0, after_transfers=0)
            self._words += rest + [0] * (room - len(rest))
        counts = {"after_layers": after_layers, "after_transfers": after_transfers}
        self._words += COMMAND.pack(op=op, n_words=n_words, skip=skip, **counts) + payload


class _Segments:
    """Bytes that follow the image's header."""

    def __init__(self):
        self.data = bytearray()

    def put(self, data: bytes) -> int:
        """Append bytes and return their offset in the image."""
        self.data += data
        return HEADER_BYTES + len(self.data) - len(data)


def schedule(
    passes: list[LayerPass], jobs: list[Job], n_resident_words: int, plan: Plan, *, debug: bool
) -> tuple[bytes, bytes]:
    """The image: header, segments, load list, run list; and once more the run list.

    Parameters
    ----------
    debug : bool
        Copy each layer's output to its home in the output buffer; those in memory are there already.

    Raises
    ------
    CompileError
        A field of a descriptor or a command list is too large for the engine.
    """
    segments = _Segments()
    load = _load_list(segments, passes, n_resident_words, plan.config)
    run = _run_list(segments, jobs, plan, debug=debug)
    load_offset = segments.put(load)
    run_offset = segments.put(run)
    body = bytes(segments.data)
    header = IMAGE_HEADER.pack(
        magic=IMAGE_MAGIC,
        version=IMAGE_VERSION,
        config_id=plan.config.config_id,
        n_bytes=HEADER_BYTES + len(body),
        crc=zlib.crc32(body),
        load_offset=load_offset,
        load_bytes=len(load),
        run_offset=run_offset,
        run_bytes=len(run),
        n_layers=len(jobs),
        input_bytes=_end_of(BUFFER_INPUT, plan),
        output_bytes=_end_of(BUFFER_OUTPUT, plan),
        scratch_bytes=_end_of(BUFFER_SCRATCH, plan),
    )
    return np.array(header, "<u4").tobytes() + body, run


def _end_of(buffer: int, plan: Plan) -> int:
    homes = ((name, offset) for name, (home, offset) in plan.homes.items() if home == buffer)
    return max((offset + plan.planes[name].n_bytes for name, offset in homes), default=0)


def _load_list(segments: _Segments, passes: list[LayerPass], n_resident_words: int, config: EngineConfig) -> bytes:
    commands = _CommandList()
    if n_resident_words:
        for core in range(config.n_cores):
            resident = b"".join(p.segments[core].ljust(p.n_words * WORD_BYTES, b"\0") for p in passes if not p.streamed)
            commands.transfer(
                space=SPACE_WEIGHTS,
                buffer=BUFFER_IMAGE,
                core=core,
                local=0,
                offset=segments.put(resident),
                n_bytes=len(resident),
            )
    for p in passes:
        for core, slots in enumerate(p.resident_slots):
            if slots:
                commands.transfer(
                    space=SPACE_BANKS,
                    buffer=BUFFER_IMAGE,
                    core=core,
                    local=p.resident_address,
                    offset=segments.put(slots),
                    n_bytes=len(slots),
                )
    return commands.end()


def _run_list(segments: _Segments, jobs: list[Job], plan: Plan, *, debug: bool) -> bytes:
    """Run list. Commands stand in it so that the soft core, which waits in front of each, keeps engine and DMA busy."""
    commands = _CommandList()
    order = _Order(commands)
    # Overlapped: inputs arrive during the sample before, outputs leave during the sample behind.
    arrival = None if debug else _first_job(jobs, plan)

    def read_in(skip: int) -> None:
        for name in plan.network_inputs:
            if name in plan.addresses:
                order.transfer(_whole(name, 0, plan), skip)

    def read_out(skip: int) -> None:
        for name in plan.network_outputs:
            if name in plan.addresses:
                order.transfer(_whole(name, 1, plan), skip)

    # What the last job leaves alone need not wait for it.
    early, late = _split_output(jobs, plan)
    last_skip = 0 if arrival is None else SKIP_BUT_LAST

    read_in(0 if arrival is None else SKIP_BUT_FIRST)
    pending: list[Copy] = []  # stores of the job submitted last
    loaded = -1  # the last job whose loads are in the list
    n_outputs_read = 0  # transfers up to those that take the outputs of the sample before out

    def load(job: Job) -> None:
        if any(_collide(copy, store) for copy in job.loads for store in pending):
            flush()
        for copy in job.loads:
            order.transfer(copy)

    def flush() -> None:
        while pending:
            order.transfer(pending.pop(0))

    segment_offsets: dict[int, list[int]] = {}
    visits = _visits(jobs)
    slot_arrivals = _slot_arrivals(jobs, plan)
    for i, job in enumerate(jobs):
        for visit in slot_arrivals.get(i, ()):
            layer_pass = jobs[visit].layer_pass
            order.slots(layer_pass, [segments.put(slots) for slots in layer_pass.streamed_slots])
        for visit in visits.arrivals.get(i, ()):
            layer_pass = jobs[visit].layer_pass
            if id(layer_pass) not in segment_offsets:
                segment_offsets[id(layer_pass)] = [segments.put(segment) for segment in layer_pass.segments]
            order.weights(layer_pass, visits.addresses[visit], segment_offsets[id(layer_pass)])
        if loaded < i:
            load(job)
        if any(_overlap(store.region, region) for store in pending for region in job.regions):
            flush()
        address = visits.addresses.get(i, job.layer_pass.address)
        order.layer(job, address, at_least=n_outputs_read if i == 1 else 0)  # it may write where outputs were
        flush()
        pending += job.stores
        if arrival is not None and i == 0:
            read_out(SKIP_FIRST)
            n_outputs_read = commands.n_transfers
        if i == arrival:
            read_in(SKIP_LAST)  # one layer later than it could, so that the engine has work meanwhile
        output = job.layer_pass.layer.operation.output
        if debug and job.is_last and output in plan.addresses and output not in plan.network_outputs:
            order.transfer(_whole(output, 1, plan))
        if i + 1 < len(jobs) and not any(_collide(copy, store) for copy in jobs[i + 1].loads for store in pending):
            load(jobs[i + 1])
            loaded = i + 1
    flush()
    for copy in early + late:
        order.transfer(copy, last_skip)
    return commands.end()


def _split_output(jobs: list[Job], plan: Plan) -> tuple[list[Copy], list[Copy]]:
    """Transfers of the outputs that lie on chip: those of bytes that the last job does not touch, and the others."""
    early, late = [], []
    for name in plan.network_outputs:
        if name not in plan.addresses:
            continue
        whole = _whole(name, 1, plan)
        start, end = whole.region
        first, last = jobs[-1].regions[-1]
        if jobs[-1].layer_pass.layer.operation.output != name or first <= start:
            (late if _overlap(whole.region, (first, last)) else early).append(whole)
            continue
        for copies, a, b in ((early, start, first), (late, first, end)):
            place = {"local": a, "offset": whole.fields["offset"] + a - start, "n_bytes": b - a}
            copies.append(Copy(tensor=name, region=(a, b), fields=whole.fields | place))
    return early, late


def _first_job(jobs: list[Job], plan: Plan) -> int | None:
    """How many jobs come before the operation during which the next inputs may arrive; see `place_overlapped`."""
    if plan.next_inputs is None:
        return None
    ends = [i + 1 for i, job in enumerate(jobs) if job.is_last]
    return ends[plan.next_inputs - 1]


class _Order:
    """Adds commands that wait for what touched the same bytes on chip before; layers as transfers run in order."""

    def __init__(self, commands: _CommandList):
        self._commands = commands
        self._layers: dict[tuple[int, int, int], int] = {}  # place on chip -> layers up to the last one that touches it
        self._transfers: dict[tuple[int, int, int], int] = {}
        self._completed = 0  # transfers that have, once the last layer runs

    def transfer(self, copy: Copy, skip: int = 0) -> None:
        """Move planes, but not in walks of ``skip``."""
        self._put((SPACE_ACTIVATIONS, *copy.region), space=SPACE_ACTIVATIONS, core=0, skip=skip, **copy.fields)

    def weights(self, layer_pass: LayerPass, address: int, offsets: list[int]) -> None:
        """Bring the segments of all cores."""
        for core, (segment, offset) in enumerate(zip(layer_pass.segments, offsets, strict=True)):
            place = (SPACE_WEIGHTS, address, address + layer_pass.n_words)
            fields = {"buffer": BUFFER_IMAGE, "local": address * WORD_BYTES, "offset": offset, "n_bytes": len(segment)}
            self._put(place, space=SPACE_WEIGHTS, core=core, write=0, **fields)

    def slots(self, layer_pass: LayerPass, offsets: list[int]) -> None:
        """Bring the slots of all cores."""
        for core, (slots, offset) in enumerate(zip(layer_pass.streamed_slots, offsets, strict=True)):
            if slots:
                fields = {"local": layer_pass.streamed_place.start, "offset": offset, "n_bytes": len(slots)}
                self._put(_slot_place(layer_pass), space=SPACE_BANKS, buffer=BUFFER_IMAGE, core=core, write=0, **fields)

    def layer(self, job: Job, address: int, *, at_least: int = 0) -> None:
        """Run a job with its weights at ``address``, when ``at_least`` so many transfers have completed."""
        places = [(SPACE_ACTIVATIONS, *region) for region in job.regions]
        places.append((SPACE_WEIGHTS, address, address + job.layer_pass.n_words))
        if job.layer_pass.streamed_range:
            places.append(_slot_place(job.layer_pass))
        after = max(at_least, *(_last(self._transfers, place) for place in places))
        descriptor = job.descriptor | {"segment": address}
        name = job.layer_pass.layer.operation.name
        waited = self._commands.layer(descriptor, name, after_transfers=after if after > self._completed else 0)
        self._completed = max(self._completed, waited)
        self._layers |= dict.fromkeys(places, self._commands.n_layers)

    def _put(self, place: tuple[int, int, int], **fields: int) -> None:
        self._commands.transfer(after_layers=_last(self._layers, place), **fields)
        self._transfers[place] = self._commands.n_transfers


def _slot_place(layer_pass: LayerPass) -> tuple[int, int, int]:
    """Of the slots that stream."""
    return SPACE_ACTIVATIONS, layer_pass.streamed_place.start, layer_pass.streamed_place.stop


def _last(counts: dict[tuple[int, int, int], int], place: tuple[int, int, int]) -> int:
    space, start, end = place
    return max((n for (s, first, last), n in counts.items() if s == space and first < end and start < last), default=0)


def _collide(load: Copy, store: Copy) -> bool:
    """Whether a store must come before a load: what it writes is read, or what it reads written."""
    return load.tensor == store.tensor or _overlap(load.region, store.region)


def _overlap(a: Region, b: Region) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _whole(name: str, write: int, plan: Plan) -> Copy:
    """A transfer between a region that stays on chip and its tensor's home."""
    address, n_bytes, (buffer, offset) = plan.addresses[name], plan.planes[name].n_bytes, plan.homes[name]
    fields = {"write": write, "buffer": buffer, "local": address, "offset": offset, "n_bytes": n_bytes}
    return Copy(tensor=name, region=(address, address + n_bytes), fields=fields)


@dataclass(frozen=True, kw_only=True)
class _Visits:
    """When streamed weights come, and where to.

    Attributes
    ----------
    addresses : dict of int to int
        Word address of each job's weights that stream.
    arrivals : dict of int to list of int
        For each job, the jobs whose weights' transfers stand in front of it.
    """

    addresses: dict[int, int]
    arrivals: dict[int, list[int]]


def _slot_arrivals(jobs: list[Job], plan: Plan) -> dict[int, list[int]]:
    """For each job, the jobs whose streamed slots' transfers stand in front of it, placed as in `_visits`.

    The first ones follow the inputs at once where the walker has room for them, so that they do not hold up its layers.
    """
    arrivals: dict[int, list[int]] = {}
    last_used: dict[tuple[int, int, int], int] = {}  # the job behind it
    room = plan.config.n_cores + len(plan.network_inputs) <= QUEUED_TRANSFERS
    for i, job in enumerate(jobs):
        if job.layer_pass.streamed_range:
            place = _slot_place(job.layer_pass)
            first = 0 if room and not last_used else 1
            free = _last(last_used, place)
            arrivals.setdefault(min(i, free + 1 if free else first), []).append(i)
            last_used[place] = i + 1
    return arrivals


def _visits(jobs: list[Job]) -> _Visits:
    """Two staging areas take turns; weights that are still in one do not come again.

    An area is free when the last job that uses it has completed. The transfers stand one layer behind that one in the
    list, so that the engine has work while the soft core waits.
    """
    areas = sorted({job.layer_pass.address for job in jobs if job.layer_pass.streamed})
    content: list[LayerPass | None] = [None] * len(areas)
    last_used, turn = [-1] * len(areas), 0
    visits = _Visits(addresses={}, arrivals={})
    for i, job in enumerate(jobs):
        if not job.layer_pass.streamed:
            continue
        if not any(held is job.layer_pass for held in content):
            visits.arrivals.setdefault(min(i, last_used[turn] + 2), []).append(i)
            content[turn] = job.layer_pass
            turn = (turn + 1) % len(areas)
        area = next(a for a, held in enumerate(content) if held is job.layer_pass)
        visits.addresses[i] = areas[area]
        last_used[area] = i
    return visits
