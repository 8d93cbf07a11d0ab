"""One call under uWSGI, in each of its ways to fork, to replace workers and to end: the total is what was answered."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Iterator, List, Tuple

import pytest

from tests.distributed.one_call import AT_THE_END, OneCall
from tests.distributed.servers.serving import PROCESSES, Command, Group, ask, listening
from tests.distributed.servers.test_uwsgi_workers import GRACEFULLY, recycling, settled, uwsgi
from tests.distributed.servers.totals import fetch
from tests.distributed.whole.programs import Place
from tests.servers.installed import open_to_all
from tests.servers.processes import until

REQUESTS = 60
NOBODY = 65534
FUTURE = 1 << 31  # a time of the day
CHAIN_IS_OVER = "chain reloading complete"

APPLICATION = """
import os
import signal
import time

def end_a_child():
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)

def application(environ, start_response):
    served.increment()
    if environ["PATH_INFO"] == "/child":
        end_a_child()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
MODULE = "application:application"


@contextlib.contextmanager
def running(one: OneCall, command: Command) -> Iterator[Tuple[Group, int]]:
    """Run the application in its folder. Gives the server and its port."""
    one.application(APPLICATION)
    log = one.folder / "server"
    with listening(lambda port, _: Group(command(port), log, {}, one.folder), [True, False]) as (server, port, _):
        yield server, port


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ([], signal.SIGINT),
        (["--die-on-term"], signal.SIGTERM),
        (["--lazy-apps"], signal.SIGINT),
        (["--py-call-uwsgi-fork-hooks"], signal.SIGINT),
    ],
    ids=str,
)
def test_what_was_answered_is_counted_when_it_ends(place: Place, options: List[str], number: signal.Signals) -> None:
    """It is told to end while it is busy: uWSGI runs no exit handlers then. Nothing is left behind."""
    one = OneCall(place, interval=AT_THE_END)
    with running(one, uwsgi(options, MODULE)) as (server, port):
        left = [number]

        def has_ended() -> bool:
            with contextlib.suppress(IndexError):
                os.kill(server.pid, left.pop())
            return not server.running

        answered = ask(port, REQUESTS, PROCESSES, lambda: True)
        place.expect({"tapes.aggregator.workers.value": PROCESSES})
        answered += ask(port, REQUESTS, 1, has_ended)

        one.check(answered, server)


def test_workers_with_threads_are_counted(place: Place) -> None:
    """They publish what they have recorded until they are told to end."""
    one = OneCall(place, interval=AT_THE_END)
    with running(one, uwsgi(["--threads", "2"], MODULE)) as (server, port):
        answered = ask(port, REQUESTS, PROCESSES, lambda: True)
        place.expect({"tapes.aggregator.workers.value": PROCESSES})
        os.kill(server.pid, signal.SIGINT)
        server.await_end()

        one.check(answered, server)


def test_a_signal_to_a_child_of_a_worker_is_none_to_the_worker(place: Place) -> None:
    """The child ends, and the worker goes on."""
    one = OneCall(place, interval=AT_THE_END)
    with running(one, uwsgi([], MODULE)) as (server, port):
        answered = ask(port, REQUESTS, PROCESSES, lambda: True)
        place.expect({"tapes.aggregator.workers.value": PROCESSES})
        for _ in range(2):
            assert fetch(port, "/child").isdigit()
        answered += ask(port, REQUESTS, PROCESSES, lambda: True)
        assert "Gracefully killing" not in server.said()
        os.kill(server.pid, signal.SIGINT)
        server.await_end()

        one.check(answered + 2, server)


@pytest.mark.parametrize("options", [[], ["--lazy-apps"]], ids=str)
def test_workers_that_are_recycled_take_nothing_along(place: Place, options: List[str]) -> None:
    """Each of those that it replaces after some requests has published."""
    one = OneCall(place, interval=AT_THE_END)
    with running(one, recycling([*options, *GRACEFULLY], MODULE)) as (server, port):
        answered = ask(port, REQUESTS, 2 * PROCESSES, lambda: True)
        until(lambda: settled(server.said()), "the server has settled")
        server.end()

        one.check(answered, server)


def test_a_chain_reload_takes_nothing_along(place: Place) -> None:
    """Its workers are replaced one after the other, by such as have imported the application again."""
    one = OneCall(place, interval=AT_THE_END)
    touched = place.folder / "touched"
    touched.touch()
    command = uwsgi(["--lazy-apps", "--touch-chain-reload", str(touched), *GRACEFULLY], MODULE)
    with running(one, command) as (server, port):
        answered = ask(port, REQUESTS, PROCESSES, lambda: True)
        os.utime(touched, (FUTURE, FUTURE))
        answered += ask(port, REQUESTS, PROCESSES, lambda: CHAIN_IS_OVER in server.said())
        server.end()

        one.check(answered, server)


@pytest.mark.usefixtures("root")
def test_a_server_that_becomes_another_user_is_counted(place: Place) -> None:
    """Its workers and the aggregator that they start are that user's, and meet in a folder of that user."""
    one = OneCall(place, interval=AT_THE_END, user=NOBODY)
    command = uwsgi(["--uid", str(NOBODY), "--gid", str(NOBODY)], MODULE)
    with running(one, lambda port: open_to_all(command(port), one.folder)) as (server, port):
        answered = ask(port, REQUESTS, PROCESSES, lambda: True)
        place.expect({"tapes.aggregator.workers.value": PROCESSES})
        os.kill(server.pid, signal.SIGINT)
        server.await_end()

        one.check(answered, server)
