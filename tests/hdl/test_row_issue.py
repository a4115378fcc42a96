"""Row issue against a list of what must be issued, with every input stalling."""

import pytest
from pumice.spec.config import CONFIGS
from pumice_hdl.core.row_issue import RowIssue

from .harness import simulate


@pytest.mark.parametrize("name", ["TINY", "Z7020"])
def test_row_issue(name):
    simulate(RowIssue(CONFIGS[name]), "row_issue_tb", n_tests=5, env={"CONFIG": name})
