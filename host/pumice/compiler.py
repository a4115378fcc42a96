"""From a graph to an image."""

from collections.abc import Mapping

from .errors import CompileError
from .graph import Graph, Softmax, Tensor
from .image import Image
from .passes.dead import drop_dead
from .passes.encode import EncodedLayer, encode
from .passes.jobs import Job, make_jobs
from .passes.lanes import n_vectors, sum_lanes
from .passes.layout import lay_out
from .passes.lower import lower
from .passes.memory import peak_bytes, place
from .passes.operation import Operation
from .passes.plan import Plan
from .passes.relayout import insert_relayouts
from .passes.schedule import schedule
from .passes.tile import tile
from .passes.weights import LayerPass, place_weights
from .planes import Planes
from .spec.config import EngineConfig
from .spec.descriptor import BUFFER_INPUT, BUFFER_OUTPUT, BUFFER_SCRATCH
from .spec.formats import FORMATS


def compile_graph(
    graph: Graph, config: EngineConfig, *, formats: Mapping[str, str] | str | None = None, debug: bool = False
) -> Image:
    """An image that runs ``graph`` on an engine of ``config``, bit for bit as `pumice.golden` does.

    Parameters
    ----------
    formats : mapping of layer name to weight format, or one format
        Formats to use; one format for all is used where it can encode a layer. Default: the smallest for each layer.
    debug : bool
        The run also copies every layer's output to the output buffer; see `Image.unpack_tensors`.

    Raises
    ------
    CompileError
        The network does not fit the engine; the message says what is needed and what to do.

    Notes
    -----
    The image's metadata: ``model``, ``config``, ``config_id``; ``input`` and ``output`` (``name``, ``shape`` as in the
    model file, ``scale``, ``zero_point``, ``planes``); ``softmax``: ``beta`` and its result's ``scale`` and
    ``zero_point``, or null; ``layers`` in order (see `_describe_layer`); ``dropped_channels``: how many channels of
    each tensor are not computed; ``activation_bytes`` used; ``weight_words``: resident words of a core;
    ``weight_bytes``: of all segments; ``streamed_bytes``: of these, what each run reads again; ``predicted_cycles``;
    ``debug``: for each tensor of a debug image its ``offset`` in the output buffer, ``planes``, and the ``channels``
    that are computed.
    """
    _check_formats(graph, formats)
    softmax = next((layer for layer in graph.layers if isinstance(layer, Softmax)), None)
    network_output = softmax.inputs[0] if softmax else graph.output
    lowered, tensors, phases = insert_relayouts(lower(graph), graph.tensors, graph.input)
    operations, stored = drop_dead(lowered, tensors, graph.input, network_output)
    if not operations:
        raise CompileError(f"model {graph.name} has no layer for the engine to run")
    planes = lay_out(operations, tensors, phases, stored, graph.input, config)
    sum_lanes(operations, tensors, phases, planes, config)
    addresses, stripes = tile(operations, planes, graph.input, network_output, config)
    debug_offsets = _debug_offsets(operations, planes, network_output) if debug else {}
    plan = Plan(
        planes=planes,
        addresses=addresses,
        stripes=stripes,
        homes=_homes(operations, planes, addresses, graph.input, network_output, debug_offsets),
        network_input=graph.input,
        network_output=network_output,
        config=config,
    )
    named = {} if formats is None or isinstance(formats, str) else formats
    layers = [
        encode(o, plan, named.get(o.name, formats if isinstance(formats, str) else None), must=o.name in named)
        for o in operations
    ]
    passes, n_resident_words = place_weights(layers, config)
    jobs = make_jobs(passes, plan)
    data = schedule(passes, jobs, n_resident_words, plan, debug_offsets)
    descriptions = [_describe_layer(layer, [p for p in passes if p.layer is layer], jobs, plan) for layer in layers]
    metadata = {
        "model": graph.name,
        "config": config.name,
        "config_id": config.config_id,
        "input": _describe_tensor(tensors[graph.input], planes[graph.input], graph.input_shape),
        "output": _describe_tensor(tensors[network_output], planes[network_output], graph.output_shape),
        "softmax": softmax and _describe_softmax(softmax, graph.tensors[graph.output]),
        "layers": descriptions,
        "dropped_channels": _dropped_channels(lowered, tensors),
        "activation_bytes": peak_bytes(plan.addresses, planes),
        "weight_words": n_resident_words,
        "weight_bytes": sum(description["weight_bytes"] for description in descriptions),
        "streamed_bytes": sum(description["weight_bytes"] for description in descriptions if description["streamed"]),
        "predicted_cycles": sum(description["predicted_cycles"] for description in descriptions),
        "debug": {
            o.output: {
                "offset": debug_offsets[o.output],
                "planes": planes[o.output].to_json(),
                "channels": o.channel.tolist(),
            }
            for o in operations
            if debug
        },
    }
    return Image(data=data, metadata=metadata)


def _debug_offsets(operations: list[Operation], planes: Mapping[str, Planes], network_output: str) -> dict[str, int]:
    """Where a debug image puts each tensor in the output buffer, behind the network's output."""
    offsets, end = {}, planes[network_output].n_bytes
    for operation in operations:
        offsets[operation.output] = end
        end += planes[operation.output].n_bytes
    return offsets


def _homes(
    operations: list[Operation],
    planes: Mapping[str, Planes],
    addresses: Mapping[str, int],
    network_input: str,
    network_output: str,
    debug_offsets: Mapping[str, int],
) -> dict[str, tuple[int, int]]:
    """Buffer and offset of every tensor that is not on chip."""
    homes = {network_input: (BUFFER_INPUT, 0), network_output: (BUFFER_OUTPUT, 0)}
    homes |= {name: (BUFFER_OUTPUT, offset) for name, offset in debug_offsets.items()}
    away = {operation.output for operation in operations} - set(homes) - set(addresses)
    scratch = place(operations, planes, network_input, network_output, names=away)
    return {name: home for name, home in homes.items() if name not in addresses} | {
        name: (BUFFER_SCRATCH, offset) for name, offset in scratch.items()
    }


def _check_formats(graph: Graph, formats: Mapping[str, str] | str | None) -> None:
    if formats is None:
        return
    wanted = {formats} if isinstance(formats, str) else set(formats.values())
    if unknown := sorted(wanted - set(FORMATS)):
        raise CompileError(f"unknown weight format {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    if not isinstance(formats, str) and (missing := sorted(set(formats) - {layer.name for layer in graph.layers})):
        raise CompileError(f"a format is given for {', '.join(missing)}, but the model has no such layer")


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


def _describe_layer(layer: EncodedLayer, parts: list[LayerPass], jobs: list[Job], plan: Plan) -> dict:
    """What reports say of a layer.

    ``tags``: its entries in the log, one a pass and stripe. ``n_stripes``: 1 for a layer that runs as a whole.
    ``density``: non-zero weights over positions of the rows and channels
    that are left. ``steps``, ``nonzero_macs``, ``dense_macs`` (as the model states the layer) and ``predicted_cycles``
    are those of one inference.
    """
    operation, output = layer.operation, plan.planes[layer.operation.output]
    height, width, _ = output.shape
    tags = [tag for tag, job in enumerate(jobs) if job.layer_pass.layer is layer]
    stripes = plan.stripes.get(operation.output)
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
        "format": layer.format.name,
        "flat": layer.flat,
        "tags": tags,
        "n_stripes": stripes.n if stripes else 1,
        "scattered": operation.scattered,
        "n_rows": len(layer.rows),
        "n_tiles": sum(jobs[tag].descriptor["n_tiles"] for tag in tags if jobs[tag].layer_pass is parts[0]),
        "density": n_nonzeros / max(1, len(operation.channel) * layer.n_positions),
        "steps": sum(jobs[tag].n_steps for tag in tags),
        "nonzero_macs": n_macs,
        "dense_macs": operation.dense_macs,
        "weight_bytes": sum(len(segment) for part in parts for segment in part.segments),
        "streamed": parts[0].streamed,
        "predicted_cycles": sum(jobs[tag].predicted_cycles(plan, is_first=tag == 0) for tag in tags),
    }
