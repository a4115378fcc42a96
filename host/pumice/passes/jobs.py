"""The engine's passes in order of execution, a pass for each band, and the transfers that they need."""

from dataclasses import dataclass, field

from ..errors import CompileError
from .cycles import count_tiles, n_stored, predict_cycles
from .plan import Plan
from .stripes import StripedLayer
from .tile import ALIGNMENT, Bands
from .weights import LayerPass

Region = tuple[int, int]
"""First byte on chip, and the one behind the last."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A transfer of ``tensor``: the region on chip that it touches, and fields of `spec.descriptor.TRANSFER`."""

    tensor: str
    region: Region
    fields: dict[str, int]


@dataclass(kw_only=True)
class Job:
    """One LAYER command.

    Attributes
    ----------
    layer_pass : LayerPass
        Its weights.
    descriptor : dict of str to int
        Fields of `spec.descriptor.LAYER` but for ``segment``.
    n_steps : int
        Decoder steps, of a striped layer slots; all cores.
    regions : list of Region
        What it reads and writes on chip.
    loads, stores : list of Copy
        To be done before and after it.
    is_last : bool
        The operation's output is complete after it.
    """

    layer_pass: LayerPass
    descriptor: dict[str, int]
    n_steps: int
    regions: list[Region]
    loads: list[Copy] = field(default_factory=list)
    stores: list[Copy] = field(default_factory=list)
    is_last: bool = False

    def predicted_cycles(self, plan: Plan, *, is_first: bool) -> int:
        """Cycles on the engine; see `predict_cycles`."""
        d = self.descriptor
        n_gap_writes = d["n_gaps"] * -(-d["gap_bytes"] // plan.config.n_lanes)
        phases = plan.planes[self.layer_pass.layer.operation.output].phases
        return predict_cycles(self.layer_pass, phases, d["n_store"], n_gap_writes, plan.config, is_first=is_first)


def make_jobs(passes: list[LayerPass], plan: Plan) -> list[Job]:
    """All passes of all layers in order."""
    jobs, i = [], 0
    while i < len(passes):
        parts = passes[i : i + passes[i].n_parts]
        jobs += _operation_jobs(parts, plan)
        i += len(parts)
    return jobs


def _operation_jobs(parts: list[LayerPass], plan: Plan) -> list[Job]:
    operation = parts[0].layer.operation
    bands = plan.bands.get(operation.output)
    n = bands.n if bands else 1
    if n > 1 and len(parts) > 1 and _parts_outside(parts, bands, plan):
        order = [(part, band) for part in parts for band in range(n)]
        jobs = [_job(part, band, bands, plan, loads=True, stores=[part]) for part, band in order]
    else:
        jobs = [
            _job(part, band, bands, plan, loads=part is parts[0], stores=parts if part is parts[-1] else [])
            for band in range(n)
            for part in parts
        ]
    jobs[-1].is_last = True
    return jobs


def _parts_outside(parts: list[LayerPass], bands: Bands | None, plan: Plan) -> bool:
    """Whether all bands of one part of the rows before those of the next one move fewer bytes than the reverse."""
    operation = parts[0].layer.operation
    weight_bytes = sum(len(segment) for part in parts for segment in part.segments) if parts[0].streamed else 0
    input_bytes = sum(plan.planes[name].n_bytes for name in operation.inputs if name not in plan.addresses)
    assert bands is not None
    return weight_bytes + len(parts) * input_bytes < bands.n * weight_bytes + input_bytes


def _job(part: LayerPass, band: int, bands: Bands | None, plan: Plan, *, loads: bool, stores: list[LayerPass]) -> Job:
    operation = part.layer.operation
    output, n_lanes = plan.planes[operation.output], plan.config.n_lanes
    height, width, _ = output.shape
    y = band * bands.rows if bands else 0
    rows = min(bands.rows, height - y) if bands and bands.n > 1 else height
    is_last = y + rows == height
    row_stride = operation.row_stride
    in_phases = output.phases != (1, 1)
    n_valid = 1 if operation.scattered else (rows - 1) * row_stride + width
    n_store = n_stored(operation, output) - y * row_stride if is_last else rows * row_stride
    if height == 1 and not in_phases:
        # There is no next row: its place is free, and the tile walker is faster when a tile lies in one row.
        row_stride = max(row_stride, n_lanes)

    regions, read_offset = _read(operation, y, band, bands, plan)
    below = y // output.phases[0] * output.row_stride  # from a plane's start to the band's
    plane_bytes = -(-rows // output.phases[0]) * output.row_stride if in_phases else n_store
    address, local = plan.target(operation)
    start, write_offset, gaps = address, below, (0, 0)
    if bands and bands.target:
        start = bands.target.start(band)
        write_offset = start - address
        regions.append((start, start + bands.target.set_bytes))
    elif isinstance(part.layer, StripedLayer) and not output.gap_bytes:
        made = [row.out_address for core in part.cores for row in core]
        regions.append((min(made), max(made) + 1))
    else:
        regions.append((address, address + output.n_bytes))
    n_planes = len(output.channels) * output.n_phases
    if bands and bands.target and bands.n > 1:
        start += below % ALIGNMENT
        write_offset += below % ALIGNMENT
        if y == 0:
            gaps = (start, n_planes)
        elif is_last:
            gaps = (start + output.gap_bytes + plane_bytes, n_planes)
    elif part.part == 0 and y == 0:
        gaps = (start, n_planes + 1)
    if output.gap_bytes == 0:
        gaps = (0, 0)
    n_tiles = count_tiles(n_store, plan.config)
    n_steps = n_tiles * sum(max(1, row.n_steps) for core in part.cores for row in core)
    if part.slots:
        n_steps = sum(map(len, part.slots)) // n_lanes
    job = Job(
        layer_pass=part,
        descriptor={
            "format": part.layer.format.code,
            "parameter": part.layer.format.parameter,
            "values": part.layer.values.number,
            "max": operation.is_max,
            "flat": part.layer.flat,
            "lane_sum": operation.lane_sum,
            "phase_store": in_phases,
            "n_channels": part.layer.n_channels,
            "n_tiles": n_tiles,
            "channel_pitch": part.layer.channel_pitch,
            "width": 1 if operation.scattered else width,
            "row_stride": row_stride,
            "n_valid": n_valid,
            "n_store": n_store,
            "phase_stride": output.row_stride if in_phases else 0,
            "phase_vectors": local.phase_pitch // n_lanes if in_phases else 0,
            "gap_start": gaps[0] if gaps[1] else 0,
            "gap_pitch": local.phase_pitch if gaps[1] else 0,
            "gap_bytes": output.gap_bytes if gaps[1] else 0,
            "n_gaps": gaps[1],
            "zero_point": output.zero_point,
            "low": operation.low,
            "high": operation.high,
            "read_offset": read_offset,
            "write_offset": write_offset,
            "striped": 0,
            "pairs": 0,
        }
        | _striped_fields(part),
        n_steps=n_steps,
        regions=regions,
    )
    if loads and bands and bands.source:
        job.loads = _loads(operation, y, rows, band, bands, plan)
    if stores and bands and bands.target:
        job.stores = [_store(operation, y, plane_bytes, start, is_last, stores, bands, plan)]
    return job


def _striped_fields(part: LayerPass) -> dict[str, int]:
    """What a striped layer means by some of the fields."""
    layer = part.layer
    if not isinstance(layer, StripedLayer):
        return {}
    return {
        "striped": 1,
        "pairs": layer.pairs,
        "channel_pitch": layer.vector_address,
        "n_channels": layer.n_vectors,
        "n_valid": part.slot_address,
        "n_store": layer.n_packed,
        "n_tiles": 1,
    }


def _read(operation, y: int, band: int, bands: Bands | None, plan: Plan) -> tuple[list[Region], int]:
    """Regions that a band reads, and its ``read_offset``."""
    if not (bands and bands.source):
        regions = [(plan.addresses[n], plan.addresses[n] + plan.planes[n].n_bytes) for n in operation.inputs]
        return regions, y * operation.row_stride
    start = bands.source.start(band)
    offset = start - bands.source.address
    if bands.n > 1:
        offset += _first_byte(operation, y, bands, plan) % ALIGNMENT
    return [(start, start + bands.source.set_bytes)], offset


def _first_byte(operation, y: int, bands: Bands, plan: Plan) -> int:
    """First byte that a band reads of an input's first plane, from the start of the region."""
    whole = plan.planes[operation.inputs[0]]
    return whole.gap_bytes + y * whole.row_stride + bands.reach.first


def _loads(operation, y: int, rows: int, band: int, bands: Bands, plan: Plan) -> list[Copy]:
    copies, sets = [], bands.source
    assert sets is not None
    for i, name in enumerate(operation.inputs):
        whole, local = plan.planes[name], sets.start(band) + i * sets.map_bytes
        region = (local, local + sets.map_bytes)
        fields = {"n_bytes": whole.n_bytes, "n_runs": 1, "local_pitch": 0, "pitch": 0}
        first = 0
        if bands.n > 1:
            first = _first_byte(operation, y, bands, plan)
            local += first % ALIGNMENT
            fields = {
                "n_bytes": (rows - 1) * whole.row_stride + bands.reach.last - bands.reach.first + 1,
                "n_runs": len(whole.channels) * whole.n_phases,
                "local_pitch": sets.planes.phase_pitch,
                "pitch": whole.phase_pitch,
            }
        copies.append(_copy(name, first, region, local, False, fields, plan))
    return copies


def _store(
    operation, y: int, plane_bytes: int, start: int, is_last: bool, parts: list[LayerPass], bands: Bands, plan: Plan
) -> Copy:
    """Takes a band's planes that ``parts`` make to memory, at the map's top and bottom with the gap there."""
    whole, sets = plan.planes[operation.output], bands.target
    assert sets is not None
    region = (start // ALIGNMENT * ALIGNMENT, start // ALIGNMENT * ALIGNMENT + sets.set_bytes)
    if bands.n == 1:
        fields = {"n_bytes": whole.n_bytes, "n_runs": 1, "local_pitch": 0, "pitch": 0}
        return _copy(operation.output, 0, region, start, True, fields, plan)
    gap = whole.gap_bytes
    first, behind = _planes_made(parts, plan)
    above = 0 if y == 0 else gap  # what is left out at the start of a run
    offset = y // whole.phases[0] * whole.row_stride + above + first * whole.phase_pitch
    fields = {
        "n_bytes": plane_bytes + gap - above + gap * is_last,
        "n_runs": behind - first,
        "local_pitch": sets.planes.phase_pitch,
        "pitch": whole.phase_pitch,
    }
    local = start + above + first * sets.planes.phase_pitch
    return _copy(operation.output, offset, region, local, True, fields, plan)


def _planes_made(parts: list[LayerPass], plan: Plan) -> tuple[int, int]:
    """First plane of the output that the rows of ``parts`` make, and the one behind the last."""
    address, local = plan.target(parts[0].layer.operation)
    rows = [row.out_address - address - local.gap_bytes for part in parts for core in part.cores for row in core]
    return min(rows) // local.phase_pitch, max(rows) // local.phase_pitch + local.n_phases


def _copy(name: str, offset: int, region: Region, local: int, write: bool, fields: dict[str, int], plan: Plan) -> Copy:
    buffer, home = plan.homes[name]
    if fields["n_runs"] >= 1 << 16:
        raise CompileError(f"tensor {name} has {fields['n_runs']} planes, where up to 65535 can be moved at once")
    place = {"write": int(write), "buffer": buffer, "local": local, "offset": home + offset}
    return Copy(tensor=name, region=region, fields=place | fields)
