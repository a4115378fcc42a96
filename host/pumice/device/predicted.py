"""The engine in numpy, with the cycles that the compiler predicts."""

from collections.abc import Sequence

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
        """One inference on an input buffer; see `run_many`."""
        return self.run_many([data])[0]

    def run_many(self, data: Sequence[bytes]) -> list[EngineRun]:
        """One inference for each input buffer, all together as `EngineDriver.run_many` runs them."""
        if self._image is None:
            raise DeviceError("no image is loaded: call load first")
        if not data:
            return []
        metadata, header, n = self._image.metadata, self._image.header, len(data)
        output, counted = run_image(self._image.data, self.config, b"".join(data), n_samples=n)
        log = [dict.fromkeys((name for name, _ in LOG_COUNTERS), 0) | entry for entry in counted]
        logs = [log[i : i + header["n_layers"]] for i in range(0, len(log), header["n_layers"])]
        for entries in logs:
            for layer in metadata["layers"]:
                entries[layer["tags"][0]]["cycles"] = layer["predicted_cycles"]
        return [
            EngineRun(
                output=output[i * header["output_bytes"] : (i + 1) * header["output_bytes"]],
                log=tuple(logs[i]),
                cycles=metadata["predicted_cycles"],
                read_bytes=header["input_bytes"] + metadata["streamed_bytes"],
                write_bytes=header["output_bytes"],
                n_together=n,
            )
            for i in range(n)
        ]

    def close(self) -> None:
        """Nothing to let go of."""
