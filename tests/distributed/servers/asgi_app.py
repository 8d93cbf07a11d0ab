"""An application as ASGI has it, for uvicorn, each of whose workers imports it.

Once a worker has shut down, uvicorn ends it by the very signal that it was sent, and nothing that Python would do at an
exit is done. So the registry is closed where ASGI says that the application ends.
"""

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
    if scope["type"] == "lifespan":
        await live(receive, send)
    else:
        await answer(send)


@latency.time()
async def answer(send: Send) -> None:
    """Answer a request."""
    served.increment()
    body = str(os.getpid()).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Receive, send: Send) -> None:
    """Follow the life of the server."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            registry.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "lifespan.startup.complete"})
