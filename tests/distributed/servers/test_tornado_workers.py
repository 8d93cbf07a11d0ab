"""Tornado in several processes, as its documentation has it: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys
from typing import List

import pytest

from tests.distributed.servers.serving import AT_THE_END, WHILE_SERVING, serving


def tornado(port: int) -> List[str]:
    """Return the command."""
    return [sys.executable, "-m", "tests.distributed.servers.tornado_app", str(port)]


def test_tornado_is_counted_while_it_serves() -> None:
    """The total is exact in the middle and at the end, and no scrape shows less than one before it.

    The application forks the aggregator, then the workers, and each of them connects.
    """
    with serving(tornado, WHILE_SERVING, forks_aggregator=True, end_everyone=True) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


@pytest.mark.parametrize("forks_aggregator", [False, True], ids=["aggregator-apart", "aggregator-forked"])
def test_tornado_workers_leave_all_that_they_have_counted(forks_aggregator: bool) -> None:
    """Workers publish only when they end. Nothing is missing, also where the aggregator is told to end with them."""
    with serving(tornado, AT_THE_END, forks_aggregator=forks_aggregator, end_everyone=True) as site:
        course = site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered
