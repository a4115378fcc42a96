"""Benchmark entries: whose commit they name."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

from bench import record as source

ENTRY = {
    "value": 1, "unit": "LUT", "better": "lower", "kind": "synthesis estimate", "config": "TINY", "workload": "none",
    "tools": "none", "command": "none",
}  # fmt: skip


def test_entries_before_it_do_not_make_a_commit_dirty(tmp_path):
    folder = tmp_path / "bench"
    folder.mkdir()
    shutil.copy(source.__file__, folder / "record.py")
    (folder / "results.jsonl").touch()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    spec = importlib.util.spec_from_file_location("copied_record", folder / "record.py")
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    commits = [record.record(f"a{i}", **ENTRY)["commit"] for i in range(2)]
    assert commits[0] == commits[1]
    assert not commits[0].endswith("-dirty")
    Path(folder, "record.py").write_text("# changed\n")
    assert record.record("b", **ENTRY)["commit"] == commits[0] + "-dirty"
    assert len([json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]) == 3
