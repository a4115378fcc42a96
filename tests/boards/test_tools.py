"""What a build says of its tools."""

import sys

import pytest
from pumice.tools import BuildError, TimeLimitError, run_tool


def test_says_what_a_tool_says(tmp_path):
    """Standard output and error together, from its folder."""
    script = "import os, sys; print(os.getcwd(), flush=True); print('hm', file=sys.stderr)"
    assert run_tool("tool", [sys.executable, "-c", script], cwd=tmp_path) == f"{tmp_path}\nhm\n"


def test_a_log_has_what_a_tool_says_at_once(tmp_path):
    log = tmp_path / "log"
    script = f"import sys; print(1, flush=True); print(open({str(log)!r}).read() + '2')"
    assert run_tool("tool", [sys.executable, "-c", script], log=log) == log.read_text() == "1\n1\n2\n"


def test_a_tool_that_fails_has_the_last_word():
    with pytest.raises(BuildError, match=r"^tool failed:\n1\n") as caught:
        run_tool("tool", [sys.executable, "-c", "print(*range(31), sep='\\n'); exit(3)"])
    assert str(caught.value).endswith("\n30")


def test_a_tool_is_ended_in_time():
    with pytest.raises(TimeLimitError, match=r"^tool was ended after 0\.5 s: try a smaller configuration"):
        run_tool("tool", [sys.executable, "-c", "import time; time.sleep(60)"], limit_s=0.5)
