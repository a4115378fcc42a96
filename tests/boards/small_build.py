"""Builds the bitstream that CI builds: ``python -m tests.boards.small_build FILE``; a known design is not built again.

FILE gets the folder of the product.
"""

import hashlib
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

from pumice import build
from pumice.spec.config import TINY

CONFIG = replace(TINY, clock_mhz=50.0)
LIMIT_S = 3000  # the tests' patience with it
CACHE = build.ROOT / ".cache" / "small-build"


def product() -> Path:
    """Folder of the bitstream, built if there is none of these sources and tools."""
    key = hashlib.sha256()
    for text in (*build.design(CONFIG).values(), *map(importlib.metadata.version, build.TOOLS)):
        key.update(text.encode())
    folder = CACHE / key.hexdigest()[:16]
    if not (folder / build.MANIFEST).exists():
        build.build_ulx3s(CONFIG, folder, CACHE / "work")
    return folder


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(str(product()))
