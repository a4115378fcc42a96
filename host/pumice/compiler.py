"""From a graph to an image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .errors import CompileError
from .graph import Graph, Softmax, Tensor
from .image import Image
from .passes.dead import drop_dead
from .passes.encode import EncodedLayer, encode
from .passes.jobs import Job, make_jobs
from .passes.lanes import n_vectors, sum_lanes
from .passes.layout import lay_out
from .passes.lower import lower
from .passes.memory import place, place_overlapped
from .passes.operation import Operation
from .passes.plan import Plan
from .passes.relayout import insert_relayouts
from .passes.schedule import schedule
from .passes.stripes import STRIPES, stripe
from .passes.tile import tile
from .passes.timeline import Timeline, predict_run
from .passes.weights import WORD_BYTES, LayerPass, place_slots, place_weights
from .passes.whole import WHOLE
from .pipeline import Pipeline
from .planes import Planes
from .spec.coding import CodingRequest
from .spec.config import EngineConfig
from .spec.descriptor import BUFFER_INPUT, BUFFER_OUTPUT, BUFFER_SCRATCH
from .split import flattened, is_single, split


def compile_network(
    graph: Graph, config: EngineConfig, *, formats: Mapping[str, str] | str | None = None, dense: bool = False
) -> Image | Pipeline:
    """As `compile_graph`, for any network: where layers must run on the host between others, a pipeline.

    Raises as `compile_graph`.
    """
    graph = flattened(graph, config.max_taps)
    if is_single(graph):
        return compile_graph(graph, config, formats=formats, dense=dense)
    _parse_formats(graph, formats)
    images = []
    for part in split(graph):
        if part.on_engine:
            own = formats
            if formats is not None and not isinstance(formats, str):
                names = {layer.name for layer in part.graph.layers}
                own = {name: format for name, format in formats.items() if name in names}
            images.append(compile_graph(part.graph, config, formats=own, dense=dense))
    if not images:
        raise CompileError(f"model {graph.name} has no layer for the engine to run")
    return Pipeline(graph, tuple(images))


def compile_graph(
    graph: Graph,
    config: EngineConfig,
    *,
    formats: Mapping[str, str] | str | None = None,
    dense: bool = False,
    debug: bool = False,
) -> Image:
    """An image that runs ``graph`` on an engine of ``config``, bit for bit as `pumice.golden` does.

    Parameters
    ----------
    formats : mapping of layer name to weight format, or one format
        Formats to use, e.g. ``bitmap``, ``rice:3``, ``nm:2:4+huffman`` (`pumice.spec.coding.CodingRequest`), or for
        single layers ``stripes``; one format for all is used where it can encode a layer. Default: the fastest for each
        layer, then the smallest.
    dense : bool
        Make no use of any zero, for comparison: dead channels are computed, every weight takes a step, and layers of
        one position take a byte a weight. No ``formats`` then.
    debug : bool
        The run also copies every layer's output to the output buffer; see `Image.unpack_tensors`.

    Raises
    ------
    CompileError
        The network does not fit the engine; the message says what is needed and what to do.

    Notes
    -----
    The image's metadata: ``model``, ``config``, ``config_id``; ``input`` and ``output`` (``name``, ``shape`` as in the
    model file, ``scale``, ``zero_point``, ``planes``); ``further_inputs``, ``further_outputs``: the like, whose regions
    follow in the buffers; ``softmax``: ``beta`` and its result's ``scale`` and
    ``zero_point``, or null; ``layers`` in order (see `_describe_layer`); ``dropped_channels``: how many channels of
    each tensor are not computed; ``activation_bytes`` used; ``weight_words``: resident words of a core;
    ``weight_bytes``: of all segments; ``streamed_bytes``: of these, what each run reads again; ``predicted_cycles``:
    of a run, doorbell to interrupt; ``debug``: for each tensor of a debug image its ``offset`` in the output buffer,
    ``planes``, and the ``channels`` that are computed.
    """
    if dense and formats is not None:
        raise CompileError("a dense run has no weight formats to choose")
    requests = _Requests(named={}, default=WHOLE) if dense else _parse_formats(graph, formats)
    softmax = next((layer for layer in graph.layers if isinstance(layer, Softmax)), None)
    inputs = (graph.input, *graph.further_inputs)
    network_output = softmax.inputs[0] if softmax else graph.output
    outputs = (network_output, *graph.further_outputs)
    lowered, tensors, phases = insert_relayouts(lower(graph), graph.tensors, inputs)
    operations, stored = drop_dead(lowered, tensors, inputs, outputs, keep=dense)
    if not operations:
        raise CompileError(f"model {graph.name} has no layer for the engine to run")
    planes = lay_out(operations, tensors, phases, stored, inputs, config)
    sum_lanes(operations, tensors, phases, planes, config)
    addresses, bands = tile(operations, planes, inputs, outputs, config)
    plan = Plan(
        planes=planes,
        addresses=addresses,
        bands=bands,
        homes=_homes(operations, planes, addresses, inputs, outputs, debug=debug),
        next_inputs=None,
        network_inputs=inputs,
        network_outputs=outputs,
        config=config,
    )
    overlapped = None if bands else place_overlapped(operations, planes, inputs, outputs, config.activation_bytes)
    plan, (layers, passes, n_resident_words) = _encode_overlapped(operations, plan, overlapped, requests)
    jobs = make_jobs(passes, plan)
    data, run_list = schedule(passes, jobs, n_resident_words, plan, debug=debug)
    timeline = predict_run(run_list, jobs, plan)
    descriptions = [
        _describe_layer(layer, [p for p in passes if p.layer is layer], jobs, timeline, plan) for layer in layers
    ]
    metadata = {
        "model": graph.name,
        "config": config.name,
        "config_id": config.config_id,
        "input": _describe_tensor(tensors[graph.input], planes[graph.input], graph.input_shape),
        "output": _describe_tensor(tensors[network_output], planes[network_output], graph.output_shape),
        "further_inputs": [_describe_tensor(tensors[n], planes[n], tensors[n].shape) for n in inputs[1:]],
        "further_outputs": [_describe_tensor(tensors[n], planes[n], graph.further_outputs[n]) for n in outputs[1:]],
        "softmax": softmax and _describe_softmax(softmax, graph.tensors[graph.output]),
        "layers": descriptions,
        "dropped_channels": _dropped_channels(lowered, tensors),
        "activation_bytes": plan.end,
        "weight_words": n_resident_words,
        "weight_bytes": sum(description["weight_bytes"] for description in descriptions),
        "streamed_bytes": sum(p.streamed_bytes for p in passes),
        "predicted_cycles": timeline.total,
        "debug": {
            o.output: {
                "offset": plan.homes[o.output][1],
                "planes": planes[o.output].to_json(),
                "channels": o.channel.tolist(),
            }
            for o in operations
            if debug
        },
    }
    return Image(data=data, metadata=metadata)


def _homes(
    operations: list[Operation],
    planes: Mapping[str, Planes],
    addresses: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    debug: bool,
) -> dict[str, tuple[int, int]]:
    """Buffer and offset of inputs and outputs, of all tensors of a debug image, and of what does not stay on chip."""
    made = [operation.output for operation in operations]
    homes = {}
    for buffer, names in (BUFFER_INPUT, inputs), (BUFFER_OUTPUT, [*outputs, *(made if debug else ())]):
        offset = 0
        for name in names:
            if name not in homes:
                homes[name] = (buffer, offset)
                offset += planes[name].n_bytes
    scratch = place(operations, planes, inputs, outputs, names=set(made) - set(homes) - set(addresses))
    return homes | {name: (BUFFER_SCRATCH, offset) for name, offset in scratch.items()}


@dataclass(frozen=True, kw_only=True)
class _Requests:
    """Formats that are asked for: by layer name, for all layers; layers to be striped."""

    named: dict[str, CodingRequest]
    default: CodingRequest | None = None
    striped: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        return bool(self.named or self.default or self.striped)

    @property
    def dense(self) -> bool:
        return self.default is WHOLE


def _parse_formats(graph: Graph, formats: Mapping[str, str] | str | None) -> _Requests:
    try:
        if formats is None or isinstance(formats, str):
            return _Requests(named={}, default=CodingRequest.parse(formats) if formats else None)
        striped = frozenset(name for name, text in formats.items() if text == STRIPES)
        named = {name: CodingRequest.parse(text) for name, text in formats.items() if text != STRIPES}
    except ValueError as error:
        raise CompileError(str(error)) from error
    if missing := sorted(set(formats) - {layer.name for layer in graph.layers}):
        raise CompileError(f"a format is given for {', '.join(missing)}, but the model has no such layer")
    return _Requests(named=named, striped=striped)


_Encoded = tuple[list[EncodedLayer], list[LayerPass], int]
"""Layers, passes, resident words of a core."""


def _encode_overlapped(
    operations: list[Operation], plan: Plan, overlapped: tuple[dict[str, int], int] | None, requests: _Requests
) -> tuple[Plan, _Encoded]:
    """As `_encode_all`, with room for the next sample's inputs where there is any and slots do not need it more."""
    if overlapped is None:
        return plan, _encode_all(operations, plan, requests)
    addresses, next_inputs = overlapped
    roomy = replace(plan, addresses=addresses, next_inputs=next_inputs)
    encoded = _encode_all(operations, roomy, requests)
    if requests.striped or not any(p.streamed_range for p in encoded[1]):
        return roomy, encoded
    tight = _encode_all(operations, plan, requests)
    if _n_cycles(tight[1], plan) < _n_cycles(encoded[1], roomy):
        return plan, tight
    return roomy, encoded


def _n_cycles(passes: list[LayerPass], plan: Plan) -> int:
    """Cycles of a run, streaming as if it went beside nothing."""
    streamed = sum(p.streamed_bytes for p in passes) // WORD_BYTES
    jobs = make_jobs(passes, plan)
    return streamed + sum(job.predicted_cycles(plan, is_first=job is jobs[0]) for job in jobs)


def _encode_all(operations: list[Operation], plan: Plan, requests: _Requests) -> _Encoded:
    """All layers in their fastest formats; in their smallest ones if that saves more streaming than it costs."""
    n_lanes = plan.config.n_lanes
    free = range(-(-plan.end // n_lanes) * n_lanes, plan.config.activation_bytes)
    named, default = requests.named, requests.default

    def encode_all(**options: float) -> _Encoded:
        layers = [encode(o, plan, named.get(o.name, default), must=o.name in named, **options) for o in operations]
        may_stripe = requests.striped or requests.dense or not requests.any
        striped = stripe(layers, plan, free, requests.striped, pairs=not requests.dense) if may_stripe else layers
        passes, n_resident_words = place_weights(striped, plan.config)
        placed = place_slots(passes, free)
        if placed is None:  # cut into parts, a layer's slots may take a little more
            striped, (placed, n_resident_words) = layers, place_weights(layers, plan.config)
        return striped, placed, n_resident_words

    fastest = encode_all()
    if not any(p.streamed for p in fastest[1]):
        return fastest
    return min(fastest, encode_all(slack=math.inf), key=lambda result: _n_cycles(result[1], plan))


def _dropped_channels(lowered: list[Operation], tensors: Mapping[str, Tensor]) -> dict[str, int]:
    dropped = {o.output: tensors[o.output].shape[2] - len(o.channel) for o in lowered}
    return {name: n for name, n in dropped.items() if n}


def _describe_softmax(layer: Softmax, result: Tensor) -> dict:
    return {"beta": layer.beta, "scale": result.scale, "zero_point": result.zero_point}


def _describe_tensor(tensor: Tensor, planes: Planes, shape: tuple[int, ...]) -> dict:
    return {
        "name": tensor.name,
        "shape": list(shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "planes": planes.to_json(),
    }


def _describe_layer(
    layer: EncodedLayer, parts: list[LayerPass], jobs: list[Job], timeline: Timeline, plan: Plan
) -> dict:
    """What reports say of a layer.

    ``tags``: its entries in the log, one a pass and band. ``n_bands``: 1 for a layer that runs as a whole. ``density``:
    non-zero weights over positions of the rows and channels that are left. ``streamed_bytes``: what each run reads
    again, of it ``streamed_slot_bytes`` slots of a striped layer. ``steps``, ``nonzero_macs``, ``dense_macs`` (as the
    model states the layer) and ``predicted_cycles`` (as log entries count them) are those of one inference.
    """
    operation, output = layer.operation, plan.planes[layer.operation.output]
    height, width, _ = output.shape
    tags = [tag for tag, job in enumerate(jobs) if job.layer_pass.layer is layer]
    bands = plan.bands.get(operation.output)
    n_nonzeros = int(operation.n_terms.sum())
    n_macs = n_nonzeros * height * width
    if operation.lane_sum:
        source = plan.planes[operation.inputs[0]]
        n_macs = n_nonzeros // n_vectors(source, plan.config) * source.shape[0] * source.shape[1]
    return {
        "name": operation.name,
        "kind": operation.kind,
        "output": operation.output,
        "output_shape": list(output.shape),
        "format": layer.coding,
        "flat": layer.flat,
        "tags": tags,
        "n_bands": bands.n if bands else 1,
        "scattered": operation.scattered,
        "n_rows": len(layer.rows),
        "n_tiles": sum(jobs[tag].descriptor["n_tiles"] for tag in tags if jobs[tag].layer_pass is parts[0]),
        "density": n_nonzeros / max(1, len(operation.channel) * layer.n_positions),
        "steps": sum(jobs[tag].n_steps for tag in tags),
        "nonzero_macs": n_macs,
        "dense_macs": operation.dense_macs,
        "weight_bytes": sum(len(data) for part in parts for data in (*part.segments, *part.slots)),
        "streamed": any(part.streamed_bytes for part in parts),
        "streamed_bytes": sum(part.streamed_bytes for part in parts),
        "streamed_slot_bytes": sum(len(slots) for part in parts for slots in part.streamed_slots),
        "predicted_cycles": sum(timeline.layers[tag] for tag in tags),
    }
