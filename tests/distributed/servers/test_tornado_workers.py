"""Tornado in several processes, as its documentation has it: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys
from typing import List

import pytest

from tests.distributed.servers.serving import AT_THE_END, WHILE_SERVING, check_counts, serving


def tornado(port: int) -> List[str]:
    """Return the command."""
    return [sys.executable, "-m", "tests.distributed.servers.tornado_app", str(port)]


@pytest.mark.parametrize(
    ("interval", "forks_aggregator"),
    [(WHILE_SERVING, True), (AT_THE_END, False), (AT_THE_END, True)],
    ids=["while-serving", "at-the-end-aggregator-apart", "at-the-end-aggregator-forked"],
)
def test_tornado_is_counted(interval: float, forks_aggregator: bool) -> None:
    """The total is exact while it serves, and when it has ended, with workers that publish only then.

    The application forks the aggregator, which is told to end with all others, or it is apart.
    """
    check_counts(serving(tornado, interval, forks_aggregator=forks_aggregator, end_everyone=True))
