"""uvicorn, whose workers are spawned: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys

from tests.distributed.servers.serving import AT_THE_END, WHILE_SERVING, Command, needs, serving

APPLICATION = "tests.distributed.servers.asgi_app:application"


def uvicorn() -> Command:
    """Return the command."""
    needs("uvicorn")
    command = [sys.executable, "-m", "uvicorn", "--workers", "2", "--no-access-log", APPLICATION]
    return lambda port: [*command, "--host", "127.0.0.1", "--port", str(port)]


def test_uvicorn_is_counted_while_it_serves() -> None:
    """The total is exact in the middle and at the end, and no scrape shows less than one before it."""
    with serving(uvicorn(), WHILE_SERVING) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


def test_uvicorn_workers_leave_all_that_they_have_counted() -> None:
    """Workers publish only when they shut down, and nothing is missing."""
    with serving(uvicorn(), AT_THE_END) as site:
        course = site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered
