"""A Tornado application as its users write one, to be run as a program: `application.py PORT CONFIG WAY`.

It counts and times what it answers, and says so when it listens. With SIGTERM it ends in good order. The ways:

- `asyncio`: one process, `asyncio.run()`
- `classic`: two processes by `server.start(2)`, each with `IOLoop.current().start()`
- `modern`: two processes by `fork_processes(2)`, each with `asyncio.run()`

The configuration is started before there is a loop, and before the fork.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from typing import List

import tornado.httpserver
import tornado.ioloop
import tornado.netutil
import tornado.process
import tornado.web

import tapes
from tapes.reporting.tornado.http import MetricsHandler

served = tapes.counter("app.served")
latency = tapes.timer("app.latency")


class Home(tornado.web.RequestHandler):
    """Answers with the number of the process."""

    @latency.time()
    async def get(self) -> None:
        """Answer."""
        served.increment()
        await asyncio.sleep(0)
        self.finish(str(os.getpid()))


def application() -> tornado.web.Application:
    """Make the application."""
    return tornado.web.Application([("/", Home), ("/metrics", MetricsHandler)])


def say_so() -> None:
    """Say that this process listens."""
    sys.stdout.write("listening\n")
    sys.stdout.flush()


async def serve(sockets: List[socket.socket]) -> None:
    """Serve until SIGTERM comes."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = tornado.httpserver.HTTPServer(application())
    server.add_sockets(sockets)
    say_so()
    await ended.wait()
    server.stop()
    await server.close_all_connections()


def main(port: int, config: str, way: str) -> None:
    """Run."""
    if way == "classic":
        server = tornado.httpserver.HTTPServer(application())
        server.bind(port, "127.0.0.1")
        tapes.configure(json.loads(config))
        server.start(2)
        loop = tornado.ioloop.IOLoop.current()

        def end() -> None:
            server.stop()
            loop.add_callback(loop.stop)

        # Unlike with signal.signal(), it wakes the loop also when it comes just as the loop begins to wait.
        asyncio.get_event_loop().add_signal_handler(signal.SIGTERM, end)
        say_so()
        loop.start()
        return
    sockets = tornado.netutil.bind_sockets(port, "127.0.0.1")
    tapes.configure(json.loads(config))
    if way == "modern":
        tornado.process.fork_processes(2)
    asyncio.run(serve(sockets))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
