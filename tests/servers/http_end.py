"""A far end of HTTP, in this process."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Dict, List, Tuple

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
