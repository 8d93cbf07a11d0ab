"""Tornado in several processes, as its documentation has it: `tornado_app.py PORT`. SIGTERM ends each of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import tornado.httpserver
import tornado.ioloop
import tornado.web

from tests.distributed.servers.measured import latency, registry, served, start_aggregator


class Home(tornado.web.RequestHandler):
    """Answers with the number of the process."""

    @latency.time()
    async def get(self) -> None:
        """Answer."""
        served.increment()
        self.finish(str(os.getpid()))


def main(port: int) -> None:
    """Serve."""
    start_aggregator()
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Home)]))
    server.bind(port, "127.0.0.1")
    server.start(2)
    registry.connect()
    loop = tornado.ioloop.IOLoop.current()

    def end() -> None:
        server.stop()
        loop.add_callback(loop.stop)  # after what is in the queue

    # Unlike with signal.signal(), it wakes the loop also when it comes just as the loop begins to wait.
    asyncio.get_event_loop().add_signal_handler(signal.SIGTERM, end)
    loop.start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
