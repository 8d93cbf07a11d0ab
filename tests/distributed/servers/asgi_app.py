"""An application as ASGI has it, for uvicorn, each of whose workers imports it."""

from __future__ import annotations

import os
from typing import Any, Awaitable, Callable, Dict

from tests.distributed.servers.measured import latency, registry, served

Message = Dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

registry.connect()


async def application(scope: Dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer with the number of the process."""
    assert scope["type"] == "http", "This application does not care how long it lives."
    await answer(send)


@latency.time()
async def answer(send: Send) -> None:
    """Answer a request."""
    served.increment()
    body = str(os.getpid()).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
