"""An application with one call, served by any server in a folder of its own, and what its aggregator has counted."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from tapes.distributed.claims import is_held
from tests.distributed.one_call import AT_THE_END, SOON, OneCall
from tests.distributed.servers.gunicorn_command import OF_UVICORN, gunicorn
from tests.distributed.servers.serving import PROCESSES, Command, Group, ask, listening
from tests.distributed.whole.programs import Place
from tests.servers.processes import free_port, is_there, until

REQUESTS = 100

APPLICATION = """
import os

page_for_wsgi, page_for_asgi = configuration.wsgi("json"), configuration.asgi("json")

def answer():
    served.increment()
    tapes.counter(f"by.{os.getpid()}").increment()
    return str(os.getpid()).encode()


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        environ.update(SCRIPT_NAME="/metrics", PATH_INFO="/")
        return page_for_wsgi(
            environ, lambda status, headers: start_response(status, [*headers, ("Worker", str(os.getpid()))])
        )
    body = answer()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    assert scope["type"] == "http", "This application does not care how long it lives."
    if scope["path"] == "/metrics":

        async def send_with_worker(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"worker", str(os.getpid()).encode()))
            await send(message)

        await page_for_asgi({**scope, "root_path": "/metrics"}, receive, send_with_worker)
        return
    body = answer()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
"""An application for any server, with the page of all processes at /metrics. Its answers and pages name the worker."""

WSGI, ASGI = "application:wsgi", "application:asgi"


def shop(place: Place, *, linger: float = SOON, user: Optional[int] = None) -> OneCall:
    """Write the configuration and the application. Whatever is published comes with last reports, but for the first."""
    one = OneCall(place, f"[reporters.http]\nport = {free_port()}\n", interval=AT_THE_END, linger=linger, user=user)
    one.application(APPLICATION)
    return one


def for_gunicorn(worker: str, preload: bool, *options: str) -> Command:
    """Return the command for the application."""
    return gunicorn(worker, preload, *options, application=ASGI if worker == OF_UVICORN else WSGI)


@contextlib.contextmanager
def serving(one: OneCall, command: Command) -> Iterator[Tuple[Group, int]]:
    """Run a server in the folder of the application."""

    def start(port: int, _: int) -> Group:
        return Group(command(port), one.folder / "log", {}, one.folder)

    with listening(start, [True, False]) as (server, port, _):
        yield server, port


def answers(one: OneCall, port: int, processes: int = PROCESSES) -> int:
    """Ask until so many processes have answered and the aggregator knows one. Return how many answers there were."""
    return ask(port, REQUESTS, processes, lambda: one.place.report().last("served.value")["served.value"] is not None)


def aggregators(one: OneCall) -> List[int]:
    """Return the aggregators that have reported."""
    return sorted({document["tapes.report"]["pid"] for document in one.place.report().documents()})


def check_end(one: OneCall, answered: int) -> None:
    """Check that one aggregator has counted all answers, and that nothing is left of it."""
    one.check(answered)
    (aggregator,) = aggregators(one)
    until(lambda: not is_there(aggregator), "the aggregator is gone")


def check_total(one: OneCall, answered: int) -> None:
    """Check that one aggregator has counted all answers, and end it: it would stay for long."""
    expected = {"served.value": answered}
    assert one.place.report().await_last(expected) == expected
    (aggregator,) = aggregators(one)
    os.kill(aggregator, signal.SIGTERM)
    until(lambda: not is_held(one.at.lock), "the aggregator has ended")
    for name in one.left_over():  # its state is for one that takes its place
        (Path(one.at.socket).parent / name).unlink()
