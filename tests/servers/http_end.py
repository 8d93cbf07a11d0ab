"""A far end of HTTP, in this process."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Dict, Iterator, List, Tuple

from tests.servers.processes import PATIENCE, free_port


class HTTPEnd:
    """Takes what is put or posted, and answers as it is told. It can be closed and opened again at the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: List[Tuple[str, Dict[str, str], bytes]] = []
        """Paths, headers and bodies."""
        self.status, self.said = 200, b""
        self.hangs = threading.Event()
        self.open()

    def open(self) -> None:
        """Listen."""
        end = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if end.hangs.is_set():
                    end.released.wait(PATIENCE)
                end.taken.append((self.path, dict(self.headers), body))
                self.send_response(end.status)
                self.send_header("Content-Length", str(len(end.said)))
                self.end_headers()
                self.wfile.write(end.said)

            do_POST = do_PUT  # noqa: N815 -- the name that the library wants

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.released = threading.Event()
        self._server = HTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """Answer one request with `head` again and again, so that no timeout of a single byte ends it. Yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_one() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.recv(65536)
                    client.sendall(head)
                    drop = head if head.startswith(b"HTTP/1.1 100") else b"x"
                    deadline = time.monotonic() + PATIENCE
                    while time.monotonic() < deadline:
                        client.sendall(drop)
                        time.sleep(0.01)

        thread = threading.Thread(target=answer_one, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    thread.join()
