"""The engine in numpy, with the cycles that the compiler predicts."""

from ..errors import DeviceError
from ..image import Image, parse_header
from ..spec.config import EngineConfig
from ..spec.descriptor import LOG_COUNTERS
from .driver import EngineRun
from .reference import run_image


class PredictedEngine:
    """Takes the place of an `EngineDriver`: results are exact, ``cycles`` predicted, stalls unknown (0)."""

    def __init__(self, config: EngineConfig):
        self.config = config
        self._image: Image | None = None

    def load(self, image: Image) -> None:
        """Make an image the one that runs. ImageError: it is damaged or for another configuration."""
        parse_header(image.data, self.config)
        self._image = image

    def run(self, data: bytes) -> EngineRun:
        """One inference on an input buffer."""
        if self._image is None:
            raise DeviceError("no image is loaded: call load first")
        metadata, header = self._image.metadata, self._image.header
        output, counted = run_image(self._image.data, self.config, data)
        log = [dict.fromkeys((name for name, _ in LOG_COUNTERS), 0) | entry for entry in counted]
        for layer in metadata["layers"]:
            log[layer["tags"][0]]["cycles"] = layer["predicted_cycles"]
        return EngineRun(
            output=output,
            log=tuple(log),
            cycles=metadata["predicted_cycles"],
            read_bytes=header["input_bytes"] + metadata["streamed_bytes"],
            write_bytes=header["output_bytes"],
        )

    def close(self) -> None:
        """Nothing to let go of."""
