"""The simulated board as a device's hardware."""

from pathlib import Path

from ..errors import DeviceError
from ..spec.config import EngineConfig
from .driver import EngineDriver


def open_sim(config: EngineConfig, **options) -> EngineDriver:
    """An engine of ``config`` on a simulated board, built first where that is necessary (a minute or more).

    ``options`` go to `pumice_sim.Board`: ``dram_bytes``, ``latency``, ``bandwidth``, ``outstanding``, and
    ``trace``, whose suffix is one of `pumice_sim.TRACES`.

    Raises
    ------
    DeviceError
        What the simulation needs is not installed, or it writes no such trace.
    """
    try:
        from pumice_sim import TRACES, Board, build_board
    except ImportError as error:
        raise DeviceError(f"the simulated device needs more packages ({error}): pip install 'pumice[sim]'") from error
    trace = options.get("trace")
    kind = Path(trace).suffix.removeprefix(".") if trace else None
    if kind not in (None, *TRACES):
        raise DeviceError(f"a trace is {' or '.join(f'.{name}' for name in TRACES)}, not {trace}")
    try:
        library = build_board(config, trace=kind)
    except ImportError as error:
        raise DeviceError(f"the simulated device needs more packages ({error}): pip install 'pumice[sim]'") from error
    return EngineDriver(Board(library, **options), config)
