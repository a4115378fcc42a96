"""The committed bitstreams: manifest, files and the commit that they were made from."""

import json
import os
import subprocess
import sys
import warnings

import pytest
from pumice import build, open_xc7

PRODUCTS = sorted(path.parent for path in build.BITSTREAMS.glob(f"*/{build.MANIFEST}"))
MODULES = {"ulx3s": build.__name__, "pynq-z2": open_xc7.__name__}  # whose design() the tools have read
HASHES = """
import importlib, json, sys
from pumice.build import sha256
from pumice.spec.config import EngineConfig
files = importlib.import_module(sys.argv[1]).design(EngineConfig(**json.loads(sys.argv[2])))
print(json.dumps({name: sha256(text.encode()) for name, text in files.items()}))
"""


@pytest.fixture(params=PRODUCTS, ids=lambda folder: folder.name)
def folder(request):
    return request.param


@pytest.fixture
def manifest(folder) -> dict:
    return json.loads((folder / build.MANIFEST).read_text())


def test_there_are_some():
    assert "ulx3s" in [folder.name for folder in PRODUCTS]


def test_manifest_and_files_agree(folder, manifest):
    bitstream = (folder / build.BITSTREAM).read_bytes()
    assert build.sha256(bitstream) == manifest["bitstream_sha256"]
    assert len(bitstream) == manifest["bitstream_bytes"]
    assert manifest["kind"] == "post-route"
    assert manifest["clock_mhz_post_route"] >= manifest["clock_mhz"]
    assert not manifest["commit"].endswith("-dirty")
    assert all(use["used"] <= use["available"] for use in manifest["utilisation"].values())
    assert f"{manifest['clock_mhz_post_route']:.2f} MHz" in (folder / build.REPORT).read_text()
    if "hand_off_sha256" in manifest:
        assert build.sha256((folder / open_xc7.HAND_OFF).read_bytes()) == manifest["hand_off_sha256"]


def test_design_of_the_commit_is_that_of_the_bitstream(manifest, tmp_path):
    """Of the commit in the manifest: gateware moves on between bitstreams, and a warning says so."""
    commit = manifest["commit"]
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        pytest.skip(f"the history down to commit {commit} is not here")
    archive = _git("archive", "--format=tar", commit).stdout
    subprocess.run(["tar", "-x", "-C", tmp_path], input=archive, check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tmp_path / part) for part in ("host", "hdl", "sim"))}
    command = [sys.executable, "-c", HASHES, MODULES[manifest["board"]], json.dumps(manifest["config"])]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == manifest["sources_sha256"]
    if _git("diff", "--quiet", commit, "--", "hdl", "firmware", "host/pumice/spec").returncode:
        board = manifest["board"]
        warnings.warn(f"gateware has moved on since {board}'s bitstream, commit {commit}: pumice build", stacklevel=1)


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=build.ROOT, capture_output=True, check=False)
