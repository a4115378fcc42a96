"""The simulated board as a device's hardware."""

from ..errors import DeviceError
from ..spec.config import EngineConfig
from .driver import EngineDriver


def open_sim(config: EngineConfig, **options) -> EngineDriver:
    """An engine of ``config`` on a simulated board, built first where that is necessary (a minute or more).

    ``options`` go to `pumice_sim.Board`: ``dram_bytes``, ``latency``, ``bandwidth``, ``outstanding``, ``trace``.

    Raises
    ------
    DeviceError
        What the simulation needs is not installed.
    """
    try:
        from pumice_sim import Board, build_board

        library = build_board(config, trace=options.get("trace") is not None)
    except ImportError as error:
        raise DeviceError(f"the simulated device needs more packages ({error}): pip install 'pumice[sim]'") from error
    return EngineDriver(Board(library, **options), config)
