"""Pages as an application for ASGI 3 servers on asyncio, to mount in another one."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, MutableMapping

from tapes.pages.connections import PAGE_TIMEOUT, REQUEST_TIMEOUT
from tapes.pages.message import Request, Response, Wanted, refusal
from tapes.pages.waiter import Waiter

if TYPE_CHECKING:
    from tapes.pages.application import Application

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PIECE = 65536  # bytes sent at once: a server that waits for its client holds no more than that


class ASGI:
    """Answers requests with pages, on the loop that serves them. Works on any loop of a process, and after a fork.

    Pages are made in threads, not on the loop; waiting clients share one. A request waits at most a minute for its
    page, and is then answered with 503. After that the client has ten seconds to take the response. It does not wait
    for a client that has gone. If clients take large pages slowly, the responses with the oldest pages are cut off, as
    if their time were up.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's lifespan events."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            request = _request(scope)
            decided = self._application.decide(request)
            if isinstance(decided, Response):
                await _send(send, decided)
            else:
                await self._answer(request, decided, receive, send)
        else:
            raise ValueError(f"tapes.pages.asgi() does not support the protocol {scope['type']!r}.")

    async def _answer(self, request: Request, wanted: Wanted, receive: Receive, send: Send) -> None:
        waiter = Waiter(self._application, wanted, counted=request.method == "GET")
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await _first(waiter.page, gone, timeout=PAGE_TIMEOUT)
            if waiter.page.done():
                response = self._application.respond(request, waiter.page.result())
            elif gone.done():
                return
            else:
                response = refusal(request.method, HTTPStatus.SERVICE_UNAVAILABLE)
            sending = asyncio.ensure_future(_send(send, response))
            try:
                await _first(sending, gone, waiter.dropped, timeout=REQUEST_TIMEOUT)
            finally:
                await _end(sending)
        finally:
            waiter.leave()
            await _end(gone)


async def _first(*futures: asyncio.Future[Any], timeout: float) -> None:
    """Wait until one of them is done, for at most `timeout` seconds."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task, and wait for its end. Raises the task's own error, unless it is one of the connection."""
    task.cancel()
    await asyncio.wait([task])
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, OSError):
        raise error


async def _until_gone(receive: Receive) -> None:
    """Read the rest of the request, until the client has gone."""
    complete = False
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if complete:  # the server, like some test clients, does not report disconnects: wait for ever
            await asyncio.get_running_loop().create_future()
        complete = not message.get("more_body", False)
        await asyncio.sleep(0)  # so that a body that has already arrived does not block the loop


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _send(send: Send, response: Response) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status.value, "headers": headers})
    body = response.body
    for start in range(0, len(body) or 1, _PIECE):
        piece, more = body[start : start + _PIECE], start + _PIECE < len(body)
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def _request(scope: Scope) -> Request:
    headers: Dict[str, List[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    # Whether the path has the place where this is mounted before it depends on the age of the server.
    path, root = scope["path"], (scope.get("root_path") or "").rstrip("/")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    query = scope.get("query_string", b"").decode("latin-1")
    return Request(scope["method"], path or "/", query, {name: ",".join(values) for name, values in headers.items()})
