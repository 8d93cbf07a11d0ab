"""The page of all processes on the port of the application, whichever worker answers."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from http import HTTPStatus
from typing import Any, Dict, List, Set

import pytest

from tests.distributed.servers.gunicorn_command import gunicorn
from tests.distributed.servers.serving import Command, ask, needs
from tests.distributed.servers.shop import ASGI, WSGI, aggregators, answers, check_end, serving, shop
from tests.distributed.servers.totals import asked, fetch
from tests.distributed.whole.programs import Place
from tests.servers.processes import PATIENCE

SCRAPES = 100
CLIENTS = 3
WORKERS = 4


def uvicorn(workers: int) -> Command:
    """Return the command of uvicorn."""
    needs("uvicorn")
    command = [sys.executable, "-m", "uvicorn", "--no-access-log", "--workers", str(workers), ASGI]
    return lambda port: [*command, "--port", str(port)]


def gthread(workers: int) -> Command:
    """Return the command of gunicorn, each of whose workers has two threads."""
    return gunicorn("gthread", True, "--workers", str(workers), application=WSGI)


class Load:
    """Clients that ask as long as it is entered."""

    def __init__(self, port: int) -> None:
        """Do nothing yet."""
        self._port = port
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._answers: Counter[int] = Counter()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]

    def answers(self) -> Dict[int, int]:
        """Return how many answers there were by now from each worker."""
        with self._lock:
            return dict(self._answers)

    def _ask(self) -> None:
        while not self._stopping.is_set():
            worker = int(fetch(self._port))
            with self._lock:
                self._answers[worker] += 1

    def __enter__(self) -> Load:
        """Begin."""
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopping.set()
        for client in self._clients:
            client.join(PATIENCE)


@pytest.mark.parametrize("server", [gthread, uvicorn])
def test_any_worker_shows_all_processes_in_the_middle_of_the_load(place: Place, server: Any) -> None:
    """What it has answered itself before is in its page, and no page shows less than one before it."""
    one = shop(place)
    totals: List[int] = []
    short: List[str] = []
    workers: Set[int] = set()
    with serving(one, server(WORKERS)) as (group, port):
        answered = answers(one, port, WORKERS)
        deadline = time.monotonic() + PATIENCE
        with Load(port) as load:
            while len(totals) < SCRAPES or len(workers) < WORKERS:
                assert time.monotonic() < deadline, f"In time there were {len(totals)} pages of {workers}."
                before = load.answers()
                response, body = asked(port, "/metrics")
                assert response.status == HTTPStatus.OK, body
                page, worker = json.loads(body), int(response.headers["Worker"])
                workers.add(worker)
                totals.append(page["served"]["value"])
                own = page["by"][str(worker)]["value"]
                if own < before.get(worker, 0):
                    short.append(f"{own} of {before[worker]} by {worker}")
        answered += sum(load.answers().values())
        group.end()

    assert short == []
    assert totals == sorted(totals)
    check_end(one, answered)


@pytest.mark.parametrize("server", [gthread, uvicorn])
def test_a_scrape_waits_for_an_aggregator_that_hangs_and_nothing_else_does(place: Place, server: Any) -> None:
    """The same worker answers other requests meanwhile. The page comes after its timeout, and says what is wrong."""
    one = shop(place)
    pages = []
    with serving(one, server(1)) as (group, port):
        answered = answers(one, port, 1)
        (aggregator,) = aggregators(one)
        scrape = threading.Thread(target=lambda: pages.append(asked(port, "/metrics")))
        os.kill(aggregator, signal.SIGSTOP)
        try:
            scrape.start()
            answered += ask(port, 20, 1, lambda: True)
            still_waits = scrape.is_alive()
            scrape.join(PATIENCE)
        finally:
            os.kill(aggregator, signal.SIGCONT)
        group.end()

    ((response, body),) = pages
    assert still_waits
    assert (response.status, body.split(b" at ")[0]) == (HTTPStatus.SERVICE_UNAVAILABLE, b"503 No aggregator answers")
    assert b"it is suspended or overloaded" in body
    check_end(one, answered)
