"""A server of two processes, made as Python itself has it: `processes_app.py PORT WAY`.

The ways are the start methods of multiprocessing, and `os.fork`. The processes share the socket that the parent listens
at, and each connects to the aggregator; with CONNECT=early their parent has done so before them. SIGTERM to the parent
ends all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Callable, List

from tests.distributed.servers.measured import latency, registry, served, start_aggregator
from tests.servers.processes import idle

PROCESSES = 2


class Home(BaseHTTPRequestHandler):
    """Answers with the number of the process."""

    timeout = 10.0

    @latency.time()
    def do_GET(self) -> None:
        """Answer."""
        served.increment()
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Ended(BaseException):
    """SIGTERM has come."""


def serve(listener: socket.socket) -> None:
    """Serve until SIGTERM comes, and return."""
    if os.environ.get("CONNECT") != "early":
        registry.connect()
    server = HTTPServer(("127.0.0.1", 0), Home, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.timeout = 0.05  # seconds until it looks whether it is to end
    listener.setblocking(False)  # another process may be faster
    ended: List[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while not ended:
        server.handle_request()


def with_multiprocessing(listener: socket.socket, way: str) -> Callable[[], None]:
    """Start the processes. Return what ends them and waits for that."""
    context: Any = multiprocessing.get_context(way)  # what their types have in common has no processes
    processes = [context.Process(target=serve, args=(listener,)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()

    def end() -> None:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()

    return end


def with_fork(listener: socket.socket) -> Callable[[], None]:
    """Start the processes. Return what ends them and waits for that."""
    pids: List[int] = []
    for _ in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            serve(listener)
            sys.exit()
        pids.append(pid)

    def end() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)

    return end


def wait_for_the_end() -> None:
    """Return when SIGTERM comes."""

    def end(*_: object) -> None:
        raise Ended

    try:
        signal.signal(signal.SIGTERM, end)
        idle()
    except Ended:
        pass


def main(port: int, way: str) -> None:
    """Serve."""
    aggregator = start_aggregator()
    if os.environ.get("CONNECT") == "early":
        registry.connect()
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    end = with_fork(listener) if way == "os.fork" else with_multiprocessing(listener, way)
    wait_for_the_end()
    end()
    registry.close()  # as long as there is somebody to tell
    if aggregator is not None:
        aggregator.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
