"""One call under Celery, with each of its pools: what the aggregator counts are the tasks that were done."""

from __future__ import annotations

import sys
from typing import List

import pytest

from tests.distributed.one_call import AT_THE_END, OneCall
from tests.distributed.servers.serving import Group, needs
from tests.distributed.servers.test_celery_workers import Tasks
from tests.distributed.whole.programs import Place
from tests.servers.redis import running_redis

TASKS = 20
RECYCLED = 4
"""Processes that have done tasks in the end. At a time there are two."""

APPLICATION = """
import os

from celery import Celery

app = Celery("tasks", broker={broker!r})

@app.task(name="work")
def work():
    served.increment()
    with open("done", "ab", buffering=0) as done:
        done.write(f"{{os.getpid()}}\\n".encode())
"""


@pytest.mark.parametrize(
    ("options", "processes"),
    [
        (["prefork"], 2),
        (["prefork", "--max-tasks-per-child=5"], RECYCLED),
        (["prefork", "--max-memory-per-child=1"], RECYCLED),
        (["threads"], 1),
        (["gevent"], 1),
    ],
    ids=str,
)
def test_tasks_are_counted_when_the_worker_has_shut_down(place: Place, options: List[str], processes: int) -> None:
    """Also by processes that it has replaced, after some tasks or for the memory that they take."""
    needs("celery")
    if "gevent" in options:
        needs("gevent")
    one = OneCall(place, interval=AT_THE_END)
    with running_redis(place.folder) as broker:
        one.application(APPLICATION.format(broker=broker))
        tasks = Tasks(broker, place.folder / "done", processes)
        command = [sys.executable, "-m", "celery", "--app", "application", "worker", "--concurrency=2"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--pool", *options]
        server = Group(command, place.folder / "server", {}, place.folder)
        try:
            done = tasks.ask(TASKS, lambda: True)
            server.end()
        finally:
            server.kill()

    one.check(done, server)
