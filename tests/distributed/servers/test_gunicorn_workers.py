"""gunicorn with each kind of worker, kept and recycled: what the aggregator counts is what was answered."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.distributed.servers.serving import (
    AT_THE_END,
    PROCESSES,
    WHILE_SERVING,
    Command,
    Group,
    address,
    ask,
    both,
    check_counts,
    listening,
    needs,
    script,
    serving,
)
from tests.distributed.servers.totals import LastReport, Page
from tests.servers.processes import until

SETTINGS = "python:tests.distributed.servers.gunicorn_settings"
APPLICATION = "tests.distributed.servers.wsgi_app:application"
RECYCLED_AFTER = 25  # requests
RECYCLED = 2 * PROCESSES  # of those that have answered in the end, the first two are gone at least

WORKERS = ["sync", "gthread", "gevent"]
PRELOADS = [False, True, False]
"""Whether the application is preloaded for each while it is watched. Where only the end counts it is not, or is."""


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


@pytest.mark.parametrize(("worker", "preload"), list(zip(WORKERS, PRELOADS)))
def test_gunicorn_is_counted_while_it_serves(worker: str, preload: bool) -> None:
    """The total is exact in the middle and at the end, and no scrape shows less than one before it.

    Where the application is preloaded it forks the aggregator, and connects before the workers are forked.
    """
    check_counts(serving(gunicorn(worker, preload), WHILE_SERVING, forks_aggregator=preload))


@pytest.mark.parametrize(("worker", "preload"), [(worker, not preload) for worker, preload in zip(WORKERS, PRELOADS)])
def test_gunicorn_workers_that_are_recycled_leave_all_that_they_have_counted(worker: str, preload: bool) -> None:
    """Workers end in the middle of the load and publish only then, and nothing is missing."""
    command = gunicorn(worker, preload, "--max-requests", str(RECYCLED_AFTER))
    check_counts(serving(command, AT_THE_END, forks_aggregator=preload, processes=RECYCLED, settled=settled))


@pytest.mark.parametrize("worker", WORKERS)
def test_gunicorn_connects_in_a_hook(worker: str) -> None:
    """With a preloaded application, `post_fork` may as well be where each worker connects."""
    check_counts(serving(gunicorn(worker, True), WHILE_SERVING, environment={"CONNECT": "later"}))


@pytest.mark.parametrize(
    ("interval", "forks_aggregator"), [(WHILE_SERVING, True), (AT_THE_END, False)], ids=["while-serving", "at-the-end"]
)
def test_gunicorn_that_gevent_has_patched_before_all_else(interval: float, forks_aggregator: bool) -> None:
    """Nothing is missing where gevent has replaced threads and sockets before tapes is imported and forked."""
    early = {"PATCH": "early"}
    check_counts(serving(gunicorn("gevent", True), interval, forks_aggregator=forks_aggregator, environment=early))


def test_gunicorn_is_upgraded_without_a_pause(tmp_path: Path) -> None:
    """After USR2 a second master boots beside the first; when that one ends, its aggregator leaves all totals to it."""
    command = gunicorn("sync", True, "--pid", str(tmp_path / "pid"))
    with tempfile.TemporaryDirectory(prefix="tapes-") as folder:
        place = {"PLACE": address(Path(folder)), "INTERVAL": str(WHILE_SERVING)}

        def start(port: int, page: int) -> Group:
            # What `python -m gunicorn` executes at an upgrade finds gunicorn.http where `http` should be.
            upgradable = [script("gunicorn"), *command(port)[3:]]
            return Group(upgradable, tmp_path / "log", {**place, "AGGREGATOR": f"{page} {tmp_path / 'report'}"})

        with listening(start, [True, True]) as (server, port, page):
            old = server.pid
            answered = ask(port, 50, PROCESSES, lambda: True)
            os.kill(old, signal.SIGUSR2)
            until(lambda: server.said().count("This worker serves.") == 2 * PROCESSES, "both masters have workers")
            new = int((tmp_path / "pid.2").read_text())
            answered += ask(port, 50, PROCESSES + 1, lambda: True)
            beside = Page(page).await_totals(both(answered))
            os.kill(old, signal.SIGQUIT)
            until(lambda: not server.running, "the old master has ended")
            answered += ask(port, 50, PROCESSES, lambda: True)
            report = LastReport(tmp_path / "report")
            os.kill(new, signal.SIGTERM)
            server.await_end()
            total, said = report.totals(), server.said()

        assert beside.counted <= answered
        assert total == both(answered), said
        assert "Traceback" not in said
