"""Processes as Python itself makes them: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys

import pytest

from tests.distributed.servers.serving import AT_THE_END, WHILE_SERVING, check_counts, serving


@pytest.mark.parametrize("interval", [WHILE_SERVING, AT_THE_END], ids=["while-serving", "at-the-end"])
@pytest.mark.parametrize(
    ("way", "forks_aggregator", "connects"),
    [
        ("fork", False, "in-each"),
        ("fork", True, "early"),
        ("os.fork", True, "in-each"),
        ("os.fork", True, "early"),
        ("spawn", True, "in-each"),
        ("forkserver", False, "in-each"),
    ],
)
def test_processes_are_counted(way: str, forks_aggregator: bool, connects: str, interval: float) -> None:
    """The total is exact while they serve, and when they have ended, where they publish only then.

    Each connects, or their parent has connected before the fork.
    """

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "tests.distributed.servers.processes_app", str(port), way]

    environment = {"CONNECT": connects}
    check_counts(serving(command, interval, forks_aggregator=forks_aggregator, environment=environment))
