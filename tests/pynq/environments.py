"""Python environments that hold PYNQ and this package, kept in ``.cache/envs``.

``python -m tests.pynq.environments`` makes them all, but for those whose Python is not here. PYNQ cannot share the
project's own environment: it wants older numpy, setuptools and pydantic, and each of its versions wants other ones.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".cache" / "envs"

PINS = {
    "3.0.1": (  # its metadata names little of what it needs
        "pynq==3.0.1",
        "pynqmetadata==0.1.2",
        "pynqutils==0.1.1",
        "pycparser<3",
        "pydantic<2",
        "numpy<2",
        "ipython<9",
        "jsonschema<5",
        "tqdm<5",
        "python-magic<1",
        "typer==0.28.0",
    ),
    "4.0.0": ("pynq==4.0.0", "pynqmetadata==0.2.0", "pynqutils==0.1.3"),
    "3.1.2": (
        "pynq==3.1.2",
        "pynqmetadata==0.1.9",
        "pynqutils==0.1.2",
        "pycparser<3",  # 3: no import pynq.lib
        "typer==0.28.0",  # 0.29 excludes the pydantic that pynqmetadata wants
    ),
}
PYTHON = {"3.0.1": "3.10"}
"""Where it is not this one: from 3.11 on, dataclasses refuse the mutable defaults that pynqmetadata 0.1.2 has."""

COMMON = ("setuptools<=80", "pytest==9.2.0", "pytest-timeout==2.4.0")  # newer setuptools lack pynqutils' pkg_resources


class MakeEnvironmentError(RuntimeError):
    """An environment cannot be made; the message is what failed and its output."""


class NoPythonError(RuntimeError):
    """The Python that a version of PYNQ needs is not on this machine."""


def find_python(version: str) -> str:
    """The interpreter for a PYNQ version. NoPythonError: it is not here, neither on the path nor in pyenv's folder."""
    if version not in PYTHON:
        return sys.executable
    name = f"python{PYTHON[version]}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in (shutil.which(name), *sorted(pyenv.glob(f"versions/{PYTHON[version]}.*/bin/python"))):
        # pyenv's programs on the path fail where that version is not chosen.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    raise NoPythonError(f"PYNQ {version} needs Python {PYTHON[version]}, which is not here")


def make_environment(version: str) -> Path:
    """Python interpreter of the environment for one PYNQ version of `PINS`; made or brought up to date where necessary.

    Raises
    ------
    NoPythonError
        See `find_python`.
    MakeEnvironmentError
        Python or pip failed, for example because no package registry answers.
    """
    folder = ENVIRONMENTS / f"pynq-{version}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    packages, interpreter = (*PINS[version], *COMMON), find_python(version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    content = (packages, interpreter, sys.version, str(ROOT), project["dependencies"], project["entry-points"])
    digest = hashlib.sha256(repr(content).encode()).hexdigest()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"pynq-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            stamp.unlink(missing_ok=True)
            _call(interpreter, "-m", "venv", "--clear", folder)
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
        try:
            print(make_environment(pynq_version))
        except NoPythonError as error:
            print(error)
