"""gunicorn with each kind of worker, kept and recycled: what the aggregator counts is what was answered."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.distributed.servers.gunicorn_command import RECYCLED, RECYCLED_AFTER, gunicorn, settled
from tests.distributed.servers.serving import (
    AT_THE_END,
    PROCESSES,
    WHILE_SERVING,
    Group,
    address,
    ask,
    both,
    check_counts,
    listening,
    script,
    serving,
)
from tests.distributed.servers.totals import LastReport, Page
from tests.servers.processes import until

WORKERS = ["sync", "gthread", "gevent"]
PRELOADS = [False, True, False]
"""Whether the application is preloaded for each while it is watched. Where only the end counts it is not, or is."""


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
