"""Configuration frames of a series-7 part from FASM, with Project X-Ray's database.

The step between nextpnr, which writes FASM, and ``xc7frames2bit``, which packs frames into a bitstream.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from .errors import PumiceError

FRAME_WORDS = 101
SEGBITS = {"CLB_IO_CLK": "", "BLOCK_RAM": ".block_ram"}  # kind of column -> infix of its file
PSEUDO = "always", "default", "hint"  # connections that are there without a bit
_LINE = re.compile(r"([\w.\-]+?)(?:\[(\d+)(?::(\d+))?\])?(?:\s*=\s*(?:\d+)?('[bhdo])?([\da-fA-F_]+))?$")
_BASES = {"'b": 2, "'o": 8, "'d": 10, "'h": 16, None: 10}


class FrameError(PumiceError):
    """FASM that the database does not know, or that sets a bit it also clears."""


Frames = dict[int, list[int]]
"""Frame address -> its 101 words of 32 bits."""


def features(fasm: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Tile and feature of every bit that is set, in order; an indexed one as ``NAME[12]``, without leading zeros."""
    for number, line in enumerate(fasm, 1):
        text = line.split("#")[0].split("{")[0].strip()
        if not text:
            continue
        match = _LINE.match(text)
        if match is None:
            raise FrameError(f"FASM line {number} cannot be read: {text}")
        name, high, low, base, digits = match.groups()
        value = 1 if digits is None else int(digits.replace("_", ""), _BASES[base])
        tile, _, feature = name.partition(".")
        if high is None:
            if value:
                yield tile, feature
            continue
        first = int(low if low is not None else high)
        if value >> int(high) - first + 1:
            raise FrameError(f"FASM line {number} has a value wider than its range: {text}")
        yield from ((tile, f"{feature}[{first + i}]") for i in range(value.bit_length()) if value >> i & 1)


class Database:
    """What `frames` needs of Project X-Ray's database for one fabric.

    Parameters
    ----------
    folder : Path
        Of the family, such as ``prjxray/database/zynq7``.
    fabric : str
        Such as ``xc7z020``.
    """

    def __init__(self, folder: Path, fabric: str):
        self._folder, self._fabric = folder, fabric
        self._types: dict[tuple[str, str], dict[str, list[tuple[int, int, bool]]]] = {}
        self._pseudo: dict[str, set[str]] = {}

    @cached_property
    def tiles(self) -> dict:
        """The tile grid."""
        return json.loads((self._folder / self._fabric / "tilegrid.json").read_text())

    def bits(self, tile: str, feature: str) -> Iterator[tuple[int, int, int, bool]]:
        """Frame address, word, bit, whether it is set, of each bit of a feature; none for one that needs no bit.

        Raises
        ------
        FrameError
            There is no such tile or feature.
        """
        if tile not in self.tiles:
            raise FrameError(f"the database of {self._fabric} has no tile {tile}")
        place = self.tiles[tile]
        kind = place["type"]
        found = feature in self._pseudo_of(kind)
        for column, segment in place["bits"].items():
            if "alias" in segment:
                raise FrameError(f"{tile} shares another tile's bits, which is not supported")
            for frame, bit, one in self._segbits(kind, column).get(feature, ()):
                found = True
                yield int(segment["baseaddr"], 0) + frame, segment["offset"] + bit // 32, bit % 32, one
        if not found:
            raise FrameError(f"the database has no {feature} in {tile}, a {kind}")

    def _segbits(self, kind: str, column: str) -> dict[str, list[tuple[int, int, bool]]]:
        if (kind, column) not in self._types:
            path = self._folder / f"segbits_{kind.lower()}{SEGBITS[column]}.db"
            table = self._types[kind, column] = {}
            for line in path.read_text().splitlines() if path.exists() else ():
                name, *bits = line.split()
                name = re.sub(r"\[0*(\d+)\]$", r"[\1]", name.partition(".")[2])
                pairs = ((bit.lstrip("!").split("_"), not bit.startswith("!")) for bit in bits if "_" in bit)
                table[name] = [(int(frame), int(place), one) for (frame, place), one in pairs]
        return self._types[kind, column]

    def _pseudo_of(self, kind: str) -> set[str]:
        if kind not in self._pseudo:
            path = self._folder / f"ppips_{kind.lower()}.db"
            lines = (line.split() for line in path.read_text().splitlines()) if path.exists() else ()
            self._pseudo[kind] = {name.partition(".")[2] for name, how in lines if how in PSEUDO}
        return self._pseudo[kind]


def frames(fasm: Iterable[str], database: Database) -> Frames:
    """All frames with a bit set.

    Raises
    ------
    FrameError
        A feature is unknown, or one clears a bit that another sets.
    """
    found: Frames = {}
    cleared: dict[tuple[int, int, int], str] = {}
    for tile, feature in features(fasm):
        for address, word, bit, one in database.bits(tile, feature):
            if one:
                found.setdefault(address, [0] * FRAME_WORDS)[word] |= 1 << bit
            else:
                cleared[address, word, bit] = f"{tile}.{feature}"
    for (address, word, bit), name in cleared.items():
        if address in found and found[address][word] >> bit & 1:
            raise FrameError(f"{name} clears a bit that another feature sets: frame {address:#010x}, {word}.{bit}")
    return found


def text(found: Frames) -> str:
    """As ``xc7frames2bit`` reads them."""
    rows = (
        f"{address:#010x} {','.join(f'{word:#010x}' for word in words)}\n" for address, words in sorted(found.items())
    )
    return "".join(rows)
