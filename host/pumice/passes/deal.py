"""Rows to cores so that the cores end together."""

from collections.abc import Sequence


def deal(costs: Sequence[int], n_cores: int) -> list[list[int]]:
    """Longest processing time first: indices of the rows of each core, ascending, for rows that take ``costs``."""
    cores: list[list[int]] = [[] for _ in range(n_cores)]
    loads = [0] * n_cores
    for row in sorted(range(len(costs)), key=lambda i: -costs[i]):
        core = loads.index(min(loads))
        cores[core].append(row)
        loads[core] += costs[row]
    return [sorted(rows) for rows in cores]
