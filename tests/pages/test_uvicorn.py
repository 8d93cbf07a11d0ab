"""The page that is mounted in uvicorn."""

from __future__ import annotations

from typing import Iterator

import pytest

from tapes import pages
from tests.pages.mounting import uvicorn_server
from tests.pages.serving import PAGE, FaultyRegistry, ask


@pytest.fixture
def port() -> Iterator[int]:
    """Serve the page with uvicorn, behind a proxy that takes a prefix away."""
    with uvicorn_server(pages.asgi(FaultyRegistry()), root_path="/metrics") as port:
        yield port


def test_uvicorn_serves_it(port: int) -> None:
    """Lifespan, prefix, status, headers and body are what the server expects."""
    expected = {"content-type": "application/json", "content-length": "22", "cache-control": "no-store"}

    status, headers, body = ask(port, "GET", "/")
    headers.pop("date", None)

    assert (status, headers, body) == (200, expected, PAGE)
    assert ask(port, "HEAD", "/")[::2] == (200, b"")
    assert ask(port, "POST", "/", b"a=1")[::2] == (405, b"405 Method Not Allowed\n")
    assert ask(port, "GET", "/x")[0] == 404
