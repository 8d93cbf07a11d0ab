"""Processes as Python itself makes them: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys

import pytest

from tests.distributed.servers.serving import AT_THE_END, WHILE_SERVING, Command, serving

WAYS = ["fork", "spawn", "forkserver", "os.fork"]
AGGREGATORS = [False, True, False, True]
"""Whether each forks its aggregator while it is watched. Where only the end counts it is the other way round."""


def processes(way: str) -> Command:
    """Return the command."""
    return lambda port: [sys.executable, "-m", "tests.distributed.servers.processes_app", str(port), way]


@pytest.mark.parametrize(("way", "forks_aggregator"), list(zip(WAYS, AGGREGATORS)))
def test_processes_are_counted_while_they_serve(way: str, forks_aggregator: bool) -> None:
    """The total is exact in the middle and at the end, and no scrape shows less than one before it."""
    with serving(processes(way), WHILE_SERVING, forks_aggregator=forks_aggregator) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


@pytest.mark.parametrize(("way", "forks_aggregator"), list(zip(WAYS, reversed(AGGREGATORS))))
def test_processes_leave_all_that_they_have_counted(way: str, forks_aggregator: bool) -> None:
    """They publish only when they end, and nothing is missing."""
    with serving(processes(way), AT_THE_END, forks_aggregator=forks_aggregator) as site:
        course = site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered


@pytest.mark.parametrize("way", ["fork", "os.fork"])
@pytest.mark.parametrize("interval", [WHILE_SERVING, AT_THE_END], ids=["while-serving", "at-the-end"])
def test_processes_whose_parent_has_connected_publish_by_themselves(way: str, interval: float) -> None:
    """What connects before the fork counts in each child, while it serves and when it ends."""
    with serving(processes(way), interval, forks_aggregator=True, environment={"CONNECT": "early"}) as site:
        course = site.serve_and_watch() if interval == WHILE_SERVING else site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered
