"""gunicorn with each kind of worker, kept and recycled: what the aggregator counts is what was answered."""

from __future__ import annotations

import re
import sys

import pytest

from tests.distributed.servers.serving import AT_THE_END, PROCESSES, WHILE_SERVING, Command, needs, serving

SETTINGS = "python:tests.distributed.servers.gunicorn_settings"
APPLICATION = "tests.distributed.servers.wsgi_app:application"
RECYCLED_AFTER = 50  # requests
RECYCLED = 2 * PROCESSES  # of those that have answered in the end, the first two are gone at least

workers = pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
preloads = pytest.mark.parametrize("preload", [False, True], ids=["imported-by-workers", "preloaded"])


def gunicorn(worker: str, preload: bool, *options: str) -> Command:
    """Return the command."""
    needs("gunicorn")
    if worker == "gevent":
        needs("gevent")
    command = [sys.executable, "-m", "gunicorn", "--config", SETTINGS, "--workers", "2", "--worker-class", worker]
    command += ["--threads", "2"] if worker == "gthread" else []
    command += ["--preload"] if preload else []
    return lambda port: [*command, "--bind", f"127.0.0.1:{port}", *options, APPLICATION]


def settled(said: str) -> bool:
    """Whether every worker that leaves is replaced by one that serves. A new one overhears signals until it does."""
    booted, serve = said.count("Booting worker with pid"), said.count("This worker serves.")
    leaving = set(re.findall(r"\[(\d+)\] \[INFO\] Autorestarting worker", said))  # each of its threads says so
    return booted == serve == PROCESSES + len(leaving)


@workers
@preloads
def test_gunicorn_is_counted_while_it_serves(worker: str, preload: bool) -> None:
    """The total is exact in the middle and at the end, and no scrape shows less than one before it.

    Where the application is preloaded it forks the aggregator, and connects before the workers are forked.
    """
    with serving(gunicorn(worker, preload), WHILE_SERVING, forks_aggregator=preload) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


@workers
@preloads
def test_gunicorn_workers_that_are_recycled_leave_all_that_they_have_counted(worker: str, preload: bool) -> None:
    """Workers end in the middle of the load and publish only then, and nothing is missing."""
    command = gunicorn(worker, preload, "--max-requests", str(RECYCLED_AFTER))
    with serving(command, AT_THE_END, forks_aggregator=preload, processes=RECYCLED, settled=settled) as site:
        course = site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered


@workers
def test_gunicorn_connects_in_a_hook(worker: str) -> None:
    """With a preloaded application, `post_fork` may as well be where each worker connects."""
    with serving(gunicorn(worker, True), WHILE_SERVING, environment={"CONNECT": "later"}) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


@pytest.mark.parametrize("interval", [WHILE_SERVING, AT_THE_END], ids=["while-serving", "at-the-end"])
@pytest.mark.parametrize("forks_aggregator", [False, True], ids=["aggregator-apart", "aggregator-forked"])
def test_gunicorn_that_gevent_has_patched_before_all_else(interval: float, forks_aggregator: bool) -> None:
    """Nothing is missing where gevent has replaced threads and sockets before tapes is imported and forked."""
    command = gunicorn("gevent", True)
    with serving(command, interval, forks_aggregator=forks_aggregator, environment={"PATCH": "early"}) as site:
        course = site.serve_and_watch() if interval == WHILE_SERVING else site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered
