"""The page that is mounted in uvicorn."""

from __future__ import annotations

import socket
import threading
from typing import Iterator

import pytest

from tapes import pages
from tests.conftest import PATIENCE, Until
from tests.pages.serving import PAGE, FaultyRegistry, ask

uvicorn = pytest.importorskip("uvicorn")


@pytest.fixture
def port(until: Until) -> Iterator[int]:
    """Serve the page with uvicorn, behind a proxy that takes a prefix away."""
    server = uvicorn.Server(
        uvicorn.Config(pages.asgi(FaultyRegistry()), log_level="critical", root_path="/metrics", server_header=False)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        until(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(PATIENCE)


def test_uvicorn_serves_it(port: int) -> None:
    """Lifespan, prefix, status, headers and body are what the server expects."""
    expected = {"content-type": "application/json", "content-length": "22", "cache-control": "no-store"}

    status, headers, body = ask(port, "GET", "/")
    headers.pop("date", None)

    assert (status, headers, body) == (200, expected, PAGE)
    assert ask(port, "HEAD", "/")[::2] == (200, b"")
    assert ask(port, "POST", "/", b"a=1")[::2] == (405, b"405 Method Not Allowed\n")
    assert ask(port, "GET", "/x")[0] == 404
