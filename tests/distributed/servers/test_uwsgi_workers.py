"""uWSGI in each of its ways to fork: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys
from typing import List

import pytest

from tests.distributed.servers.serving import AT_THE_END, PROCESSES, WHILE_SERVING, Command, script, serving

APPLICATION = "tests.distributed.servers.wsgi_app:application"

GRACEFULLY = ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
"""What SIGTERM does. With --die-on-term a worker that has not yet closed a connection does nothing more at its exit."""

RECYCLED_AFTER = 100  # requests
RECYCLED = 2 * PROCESSES  # of those that have answered in the end, the first two are gone at least
RESTLESSLY = 0.002
"""An interval in which a thread that publishes has no time to rest."""

WAYS: List[List[str]] = [[], ["--lazy-apps"], ["--py-call-uwsgi-fork-hooks"]]
if sys.version_info < (3, 13):  # there uWSGI answers nobody with this option, whatever it serves
    WAYS.append(["--py-call-osafterfork"])

ACCEPTING = "This worker accepts requests."
"""What a worker says when it listens to signals and to clients."""


def named(options: List[str]) -> str:
    """Return a name for the test."""
    return " ".join(options) or "by-default"


def uwsgi(options: List[str]) -> Command:
    """Return the command."""
    command = [script("uwsgi"), "--master", "--workers", "2", "--need-app", "--disable-logging"]
    if sys.prefix != sys.base_prefix:
        command += ["--home", sys.prefix]
    return lambda port: [*command, "--http-socket", f"127.0.0.1:{port}", "--module", APPLICATION, *options]


def recycling(options: List[str]) -> Command:
    """Return the command for workers that are recycled."""
    recycled = ["--max-requests", str(RECYCLED_AFTER), "--min-worker-lifetime", "0", "--die-on-term"]
    # One that has overheard that it is to end, as it may while it begins, is killed then, and in a minute otherwise.
    mercy = ["--reload-mercy", "10", "--worker-reload-mercy", "10"]
    return uwsgi([*options, *recycled, *mercy, "--hook-accepting", f"print:{ACCEPTING}"])


def settled(said: str) -> bool:
    """Whether every worker that has left is replaced by one that serves. Until then uWSGI overhears signals."""
    left, replaced = said.count("is done. Seeya!"), said.count("Respawned uWSGI worker")
    return left == replaced and said.splitlines().count(ACCEPTING) == PROCESSES + replaced


@pytest.mark.parametrize("options", [*WAYS, ["--enable-threads"]], ids=named)
def test_uwsgi_is_counted_while_it_serves(options: List[str]) -> None:
    """The total is exact in the middle and at the end, and no scrape shows less than one before it."""
    with serving(uwsgi([*options, *GRACEFULLY]), WHILE_SERVING) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


@pytest.mark.parametrize("options", [[], ["--lazy-apps"], ["--enable-threads"]], ids=named)
def test_uwsgi_workers_leave_all_that_they_have_counted(options: List[str]) -> None:
    """Workers publish only when they end, and nothing is missing."""
    with serving(uwsgi([*options, *GRACEFULLY]), AT_THE_END) as site:
        course = site.serve_and_end()

    assert course.faults == []
    assert course.total == course.answered


@pytest.mark.parametrize("options", WAYS, ids=named)
def test_uwsgi_workers_that_are_recycled_leave_all_that_they_have_counted(options: List[str]) -> None:
    """Workers end in the middle of the load and nothing is missing, and those that replace them all serve.

    A worker hangs that is forked while another thread of the master runs Python code, but for uWSGI's fork hooks.
    """
    with serving(recycling(options), RESTLESSLY, processes=RECYCLED, settled=settled) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered


def test_uwsgi_connects_in_a_hook() -> None:
    """`uwsgidecorators.postfork` may as well be where each worker connects, also those that replace others."""
    hook = {"CONNECT": "postfork"}
    with serving(recycling([]), RESTLESSLY, processes=RECYCLED, environment=hook, settled=settled) as site:
        course = site.serve_and_watch()

    assert course.faults == []
    assert course.total == course.answered
