"""Reads what Verilator writes as SAIF: of each net how long it was high and how often it changed."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

_INSTANCE = re.compile(r"\(INSTANCE (\S+)$")
_NET = re.compile(r"\((\S+) \(T0 \d+\) \(T1 (\d+)\) .*\(TC (\d+)\)\)$")
_SUFFIX = re.compile(r"\$\d+")  # of a name that occurs before
TICKS_PER_CYCLE = 2


class Net(NamedTuple):
    """Clock cycles that all bits of a net were high, together, and how often one of them changed."""

    cycles_high: float
    changes: int

    def __sub__(self, other: "Net") -> "Net":
        return Net(self.cycles_high - other.cycles_high, self.changes - other.changes)


def read_saif(path: Path) -> dict[str, Net]:
    """Nets by their path below the design, such as ``engine/core_0/macs/valid``; bits, and nets of one name, add up."""
    scopes: list[str] = []
    high, changes = defaultdict(int), defaultdict(int)
    for line in path.read_text().splitlines():
        text = line.strip()
        if found := _INSTANCE.match(text):
            scopes.append(_SUFFIX.sub("", found[1]))
        elif scopes and line == " " * len(scopes) + ")":
            scopes.pop()
        elif found := _NET.match(text):
            name = _SUFFIX.sub("", found[1].replace("\\", "").split("[")[0])
            path_ = "/".join((*scopes[3:], name))
            high[path_] += int(found[2])
            changes[path_] += int(found[3])
    return {name: Net(high[name] / TICKS_PER_CYCLE, changes[name]) for name in high}
