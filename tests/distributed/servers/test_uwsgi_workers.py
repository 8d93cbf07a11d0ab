"""uWSGI in each of its ways to fork: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys
from typing import List

import pytest

from tests.distributed.servers.serving import (
    AT_THE_END,
    PROCESSES,
    WHILE_SERVING,
    Command,
    check_counts,
    script,
    serving,
)

APPLICATION = "tests.distributed.servers.wsgi_app:application"

GRACEFULLY = ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
"""What SIGTERM does. With --die-on-term a worker that has not yet closed a connection does nothing more at its exit."""

RECYCLED_AFTER = 40  # requests
RECYCLED = 2 * PROCESSES  # of those that have answered in the end, the first two are gone at least
RESTLESSLY = 0.002
"""An interval in which a thread that publishes has no time to rest."""

WAYS: List[List[str]] = [[], ["--lazy-apps"], ["--py-call-uwsgi-fork-hooks"]]
if sys.version_info < (3, 13):  # there uWSGI answers nobody with this option, whatever it serves
    WAYS.append(["--py-call-osafterfork"])

ACCEPTING = "This worker accepts requests."
"""What a worker says when it listens to signals and to clients."""


def named(value: object) -> str:
    """Return a name for the test, by its options and what else there is."""
    return (" ".join(value) or "by-default") if isinstance(value, list) else str(value)


def uwsgi(options: List[str], application: str = APPLICATION) -> Command:
    """Return the command."""
    command = [script("uwsgi"), "--master", "--workers", "2", "--need-app", "--disable-logging"]
    if sys.prefix != sys.base_prefix:
        command += ["--home", sys.prefix]
    return lambda port: [*command, "--http-socket", f"127.0.0.1:{port}", "--module", application, *options]


def recycling(options: List[str], application: str = APPLICATION) -> Command:
    """Return the command for workers that are recycled."""
    recycled = ["--max-requests", str(RECYCLED_AFTER), "--min-worker-lifetime", "0", "--die-on-term"]
    # One that has overheard that it is to end, as it may while it begins, is killed then, and in a minute otherwise.
    mercy = ["--reload-mercy", "10", "--worker-reload-mercy", "10"]
    return uwsgi([*options, *recycled, *mercy, "--hook-accepting", f"print:{ACCEPTING}"], application)


def settled(said: str) -> bool:
    """Whether every worker that has left is replaced by one that serves. Until then uWSGI overhears signals."""
    left, replaced = said.count("is done. Seeya!"), said.count("Respawned uWSGI worker")
    return left == replaced and said.splitlines().count(ACCEPTING) == PROCESSES + replaced


@pytest.mark.parametrize(
    ("options", "interval"),
    [
        *[(options, WHILE_SERVING) for options in [*WAYS, ["--enable-threads"]]],
        *[(options, AT_THE_END) for options in ([], ["--lazy-apps"], ["--enable-threads"])],
    ],
    ids=named,
)
def test_uwsgi_is_counted(options: List[str], interval: float) -> None:
    """The total is exact while it serves, and when it has ended, with workers that publish only then."""
    check_counts(serving(uwsgi([*options, *GRACEFULLY]), interval))


@pytest.mark.parametrize(
    ("options", "connect"), [*[(options, "at-import") for options in WAYS], ([], "postfork")], ids=named
)
def test_uwsgi_workers_that_are_recycled_are_counted(options: List[str], connect: str) -> None:
    """Workers end in the middle of the load and nothing is missing, and those that replace them all serve.

    A worker hangs that is forked while another thread of the master runs Python code, but for uWSGI's fork hooks.
    `uwsgidecorators.postfork` may as well be where each worker connects, also those that replace others.
    """
    hook = {"CONNECT": connect}
    check_counts(serving(recycling(options), RESTLESSLY, processes=RECYCLED, environment=hook, settled=settled))
