"""Benchmark entries: one JSON object a line in ``bench/results.jsonl``."""

import json
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("results.jsonl")
KINDS = ("simulated", "modelled", "synthesis estimate", "post-route", "on-board")


def tool_versions(*packages: str) -> str:
    """``name version`` of installed packages, for an entry's ``tools``."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def record(
    name: str,
    value: float,
    unit: str,
    *,
    better: str,
    kind: str,
    config: str,
    workload: str,
    tools: str,
    command: str,
    predicted: float | None = None,
    reason: str | None = None,
) -> dict:
    """Append an entry and return it.

    Parameters
    ----------
    better : str
        ``lower`` or ``higher``.
    kind : str
        One of `KINDS`; kinds are never compared with each other.
    predicted : float, optional
        What the formula said.
    reason : str, optional
        Why the figure moved since the last entry, where that has to be said.
    """
    if kind not in KINDS or better not in ("lower", "higher"):
        raise ValueError(f"kind must be one of {KINDS} and better lower or higher, not {kind!r}, {better!r}")
    entry = {
        "name": name, "value": value, "unit": unit, "better": better, "kind": kind, "predicted": predicted,
        "config": config, "workload": workload, "tools": tools, "commit": _commit(), "date": date.today().isoformat(),
        "command": command, **({"reason": reason} if reason else {}),
    }  # fmt: skip
    with RESULTS.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    return entry


def _commit() -> str:
    """Of the tree; ``-dirty`` if files differ from it, the entries themselves left aside."""
    changed = ("status", "--porcelain", "--untracked-files=no", "--", ":/", f":(top,exclude)bench/{RESULTS.name}")
    return _git("describe", "--always") + ("-dirty" if _git(*changed) else "")


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    return run.stdout.strip()
