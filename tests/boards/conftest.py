"""The bitstream that the tests build takes ten minutes of a processor: it is built beside them and looked at last."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from pumice.build import ROOT

from .small_build import LIMIT_S

FIXTURE = "small_product"
KILL_LIMIT_S = 10
BUILD = pytest.StashKey[tuple[subprocess.Popen, Path]]()


def _waits(item: pytest.Item) -> bool:
    return FIXTURE in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items):
    items.sort(key=_waits)


def pytest_collection_finish(session):
    if session.config.option.collectonly or not any(map(_waits, session.items)):
        return
    folder = Path(tempfile.mkdtemp(prefix="small-build-"))
    with (folder / "said").open("w") as said:
        command = [sys.executable, "-m", "tests.boards.small_build", folder / "product"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)
    session.config.stash[BUILD] = process, folder


def pytest_unconfigure(config):
    if BUILD in config.stash:
        process, folder = config.stash[BUILD]
        if process.poll() is None:  # its tools too
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(KILL_LIMIT_S)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def small_product(pytestconfig) -> Path:
    """Folder of the bitstream."""
    process, folder = pytestconfig.stash[BUILD]
    assert process.wait(LIMIT_S) == 0, (folder / "said").read_text()
    return Path((folder / "product").read_text())
