"""A small shop with Tornado that runs as several processes, and one true picture of all of them.

    python -m examples.shop.app                          at http://127.0.0.1:8888/, its metrics at /metrics
    python -m examples.shop.app --port 0 --workers 2     at any free port, with two workers

    supervisor (this process)       binds the port, forks workers, and replaces those that die
      +- worker, worker, ...        serve customers
    aggregator                      merges what the workers have counted; the first of them starts it, it ends by itself

One call in pages.py does all that the metrics need. SIGTERM and Ctrl-C close the shop in good order: whoever is being
served gets an answer, and every worker tells the aggregator the last of what it has counted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import ForkProcess

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

import tapes
from examples.shop.pages import Handler, application

HOST = "127.0.0.1"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK = 0.1  # seconds from one look at the others, and at whether it is time to close, to the next
PATIENCE = 15.0  # seconds for the workers to close; one that hangs is killed

fork = multiprocessing.get_context("fork")


class ClosingTime:
    """Whether the shop was told to close. A fork takes it along, so no worker misses what came just before.

    It is to be looked at again and again: a handler that runs as its thread begins to wait does not end the waiting.
    """

    def __init__(self) -> None:
        self.has_come = False

    def listen(self) -> None:
        """Take note of the signals, which interrupt nothing."""
        for number in SIGNALS:
            signal.signal(number, self._come)

    def _come(self, *_: object) -> None:
        self.has_come = True


def main() -> None:
    """Run the shop until it is told to close."""
    options = parser().parse_args()
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # customers who find nothing are no news
    closing_time = ClosingTime()
    closing_time.listen()
    supervise(options.workers, bind(options.port), closing_time)


def supervise(number: int, sockets: Sequence[socket.socket], closing_time: ClosingTime) -> None:
    """Have `number` workers serve, replace those that die, and close in good order when the time has come."""
    workers: list[ForkProcess] = []
    try:
        for _ in range(number):
            workers.append(hire(sockets, closing_time))  # noqa: PERF401  one by one, so that all are known at any time
        print(f"Its workers are {', '.join(str(worker.pid) for worker in workers)}", flush=True)
        print(f"The shop is open at http://{HOST}:{sockets[0].getsockname()[1]}/", flush=True)
        while not closing_time.has_come:
            time.sleep(LOOK)
            for position, worker in enumerate(workers):
                if not worker.is_alive() and not closing_time.has_come:
                    workers[position] = hire(sockets, closing_time)
                    print(f"{ending(worker)} and was replaced by {workers[position].pid}", flush=True)
    finally:
        for bound in sockets:
            bound.close()
        dismiss(workers)
    failed = [ending(worker) for worker in workers if worker.exitcode]
    if failed:
        sys.exit(f"The shop did not close cleanly. {'. '.join(failed)}.")


def hire(sockets: Sequence[socket.socket], closing_time: ClosingTime) -> ForkProcess:
    """Fork a worker."""
    worker = fork.Process(target=work, args=(sockets, closing_time))
    worker.start()
    return worker


def dismiss(workers: Sequence[ForkProcess]) -> None:
    """Have all workers close, and return when they have ended."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(PATIENCE)
        worker.kill()  # does nothing if it has ended
        worker.join()


def work(sockets: Sequence[socket.socket], closing_time: ClosingTime) -> None:
    """Do what a worker does, after the fork."""
    tapes.counter("shop.workers_started").increment()
    asyncio.run(serve(sockets, closing_time))


async def serve(sockets: Sequence[socket.socket], closing_time: ClosingTime) -> None:
    """Serve until it is time to close, or nobody is there any more to say so, and close in good order."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None  # it has forked this process
    server = HTTPServer(application(lambda: closing_time.has_come))
    server.add_sockets(sockets)
    while supervisor.is_alive() and not closing_time.has_come:
        await asyncio.sleep(LOOK)
    closing_time.has_come = True
    server.stop()
    while Handler.under_way:
        await asyncio.sleep(0.01)
    await server.close_all_connections()


def bind(port: int) -> list[socket.socket]:
    """Bind the port that all workers share."""
    try:
        return bind_sockets(port, HOST)
    except OSError as error:
        sys.exit(f"The shop cannot open at port {port}: {error.strerror}.")


def ending(worker: ForkProcess) -> str:
    """Say how a worker has ended."""
    code = worker.exitcode or 0
    how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
    return f"Worker {worker.pid} has ended {how}"


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(description="A small shop that measures itself.")
    made.add_argument("--workers", type=int, default=4, metavar="N", help="processes that serve; default: %(default)s")
    made.add_argument("--port", type=int, default=8888, help="default: %(default)s; 0 is any free one")
    return made


if __name__ == "__main__":
    main()
