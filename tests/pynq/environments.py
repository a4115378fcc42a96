"""Python environments that hold PYNQ and this package, kept in ``.cache/envs``.

``python -m tests.pynq.environments`` makes them all. PYNQ cannot share the project's own environment: it wants older
numpy, setuptools and pydantic, and each of its versions wants other ones.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".cache" / "envs"

PINS = {
    "4.0.0": ("pynq==4.0.0", "pynqmetadata==0.2.0", "pynqutils==0.1.3"),
    "3.1.2": (
        "pynq==3.1.2",
        "pynqmetadata==0.1.9",
        "pynqutils==0.1.2",
        "pycparser<3",  # 3: no import pynq.lib
        "typer==0.28.0",  # 0.29 excludes the pydantic that pynqmetadata wants
    ),
}
COMMON = ("setuptools<=80", "pytest==9.2.0", "pytest-timeout==2.4.0")  # newer setuptools lack pynqutils' pkg_resources


class MakeEnvironmentError(RuntimeError):
    """An environment cannot be made; the message is what failed and its output."""


def make_environment(version: str) -> Path:
    """Python interpreter of the environment for one PYNQ version of `PINS`; made or brought up to date where necessary.

    Raises
    ------
    MakeEnvironmentError
        Python or pip failed, for example because no package registry answers.
    """
    folder = ENVIRONMENTS / f"pynq-{version}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    packages = (*PINS[version], *COMMON)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    content = (packages, sys.version, str(ROOT), project["dependencies"], project["entry-points"])
    digest = hashlib.sha256(repr(content).encode()).hexdigest()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"pynq-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            stamp.unlink(missing_ok=True)
            _call(sys.executable, "-m", "venv", "--clear", folder)
            _call(
                python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, "--editable", ROOT
            )
            stamp.write_text(digest)
    return python


def _call(*command: str | Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise MakeEnvironmentError(f"{' '.join(words)} failed:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    for pynq_version in PINS:
        print(make_environment(pynq_version))
