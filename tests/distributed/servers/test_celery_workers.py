"""Celery with its pool of processes, kept and recycled: what the aggregator counts are the tasks that were done."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from tests.distributed.servers.serving import (
    AT_THE_END,
    PROCESSES,
    WHILE_SERVING,
    Command,
    check_counts,
    needs,
    serving,
)
from tests.servers.processes import until
from tests.servers.redis import running_redis

BATCH = 40  # tasks that are sent when all are done and it is not enough
RECYCLED_AFTER = 15  # tasks
RECYCLED = 2 * PROCESSES  # of those that have done tasks in the end, the first two are gone at least


class Tasks:
    """The client of a worker of Celery."""

    def __init__(self, broker: str, done: Path, processes: int) -> None:
        """Send nothing yet. Tasks are sent until so many processes have done some. In the file `done` they say so."""
        from celery import Celery

        self._app = Celery("client", broker=broker, set_as_current=False)
        self._done = done
        self._processes = processes
        self._sent = 0
        self.environment = {"BROKER": broker, "DONE": str(done)}
        """For the worker."""

    def ask(self, requests: int, enough: Callable[[], bool]) -> int:
        """Send so many tasks, and more until that is enough. Return how many, when all are done."""
        before = self._sent
        self._send(requests)
        until(lambda: self._more(enough), "enough tasks by enough processes are done")
        return self._sent - before

    def _more(self, enough: Callable[[], bool]) -> bool:
        done = self._done.read_text().split() if self._done.exists() else []
        if len(done) < self._sent:
            return False
        if len(set(done)) >= self._processes and enough():
            return True
        self._send(BATCH)
        return False

    def _send(self, tasks: int) -> None:
        for _ in range(tasks):
            self._app.send_task("work")
        self._sent += tasks


@pytest.fixture
def broker() -> Iterator[str]:
    """Run a broker. Gives its URL."""
    needs("celery")
    # Not the folder of pytest: the address of a socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="tapes-") as folder, running_redis(Path(folder)) as url:
        yield url


def celery(*options: str) -> Command:
    """Return the command."""
    command = [sys.executable, "-m", "celery", "--app", "tests.distributed.servers.celery_app", "worker"]
    command += ["--pool=prefork", "--concurrency=2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return lambda _: [*command, *options]


@pytest.mark.parametrize(
    ("interval", "processes", "options"),
    [(WHILE_SERVING, PROCESSES, []), (AT_THE_END, RECYCLED, ["--max-tasks-per-child", str(RECYCLED_AFTER)])],
    ids=["while-it-works", "recycled"],
)
def test_celery_is_counted(broker: str, tmp_path: Path, interval: float, processes: int, options: List[str]) -> None:
    """The total is exact while it works, and when processes have ended after some tasks, and publish only then."""
    tasks = Tasks(broker, tmp_path / "done", processes)
    check_counts(serving(celery(*options), interval, asking=tasks.ask, environment=tasks.environment))
