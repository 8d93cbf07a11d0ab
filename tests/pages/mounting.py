"""Servers for applications of WSGI and ASGI: that of the standard library, uvicorn, and a small one of our own."""

from __future__ import annotations

import asyncio
import io
import queue
import socket
import socketserver
import threading
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tapes.pages.asgi_app import ASGI
from tapes.pages.message import Response, refusal
from tapes.pages.parser import BadRequestError, Incoming, Received, written
from tapes.pages.wsgi_app import WSGI
from tests.conftest import PATIENCE
from tests.servers.installed import missing


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each connection, which serves one request."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def shutdown_request(self, request: Any) -> None:
        """Read what is left, so that the answer is not lost in a reset of the connection."""
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(1)
            while request.recv(65536):
                pass
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients are nasty in these tests."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- that is its name
        """Say nothing."""

    def get_stderr(self) -> Any:
        """Have errors written nowhere."""
        return io.StringIO()


@contextmanager
def wsgi_server(application: WSGI) -> Iterator[int]:
    """Serve an application of WSGI with wsgiref, under the name tapes. Give the port."""

    def named(environ: Dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: List[Tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [("Server", "tapes"), *headers], *rest)

        return application(environ, start)

    with make_server("127.0.0.1", 0, named, _Server, _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(PATIENCE)


@contextmanager
def asgi_server(application: ASGI) -> Iterator[int]:
    """Serve an application of ASGI on a loop in a thread, and tell it of the beginning and the end. Give the port."""
    told: queue.Queue[Any] = queue.Queue()

    async def run() -> None:
        lifespan = _Lifespan(application)
        await lifespan.start()
        clients: Set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            clients.add(task)
            try:
                await _Client(application, reader, writer).serve()
            finally:
                clients.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=128)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        told.put((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stopping.set)))
        await stopping.wait()
        server.close()
        for client in list(clients):
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await lifespan.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    port, stop = told.get(timeout=PATIENCE)
    try:
        yield port
    finally:
        stop()
        thread.join(PATIENCE)


@contextmanager
def uvicorn_server(application: ASGI, **options: Any) -> Iterator[int]:
    """Serve an application of ASGI with uvicorn, if that is installed. Give the port."""
    if find_spec("uvicorn") is None:
        missing("uvicorn is not installed: it is in the dependency group `servers`")
    import uvicorn

    config = uvicorn.Config(application, http="h11", log_level="critical", server_header=False, **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            assert time.monotonic() < deadline, "uvicorn has not started."
            time.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


class _Lifespan:
    def __init__(self, application: ASGI) -> None:
        self._application = application
        self._told: asyncio.Queue[Dict[str, Any]]
        self._answers: asyncio.Queue[Any]

    async def start(self) -> None:
        self._told, self._answers = asyncio.Queue(), asyncio.Queue()
        self._task = asyncio.ensure_future(
            self._application({"type": "lifespan", "asgi": {"version": "3.0"}}, self._told.get, self._answers.put)
        )
        await self._tell("lifespan.startup")

    async def stop(self) -> None:
        await self._tell("lifespan.shutdown")
        await self._task

    async def _tell(self, kind: str) -> None:
        self._told.put_nowait({"type": kind})
        assert await self._answers.get() == {"type": f"{kind}.complete"}


class _Client:
    """One connection. A client that ends its half of it is still there; one that resets it is not."""

    def __init__(self, application: ASGI, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._application = application
        self._reader, self._writer = reader, writer
        self._incoming = Incoming()
        self._came = asyncio.Event()
        self._ended = False
        self._gone = asyncio.Event()

    async def serve(self) -> None:
        reading = asyncio.ensure_future(self._read())
        try:
            await self._serve()
            self._writer.write_eof()
            await asyncio.wait([reading], timeout=1)
        except OSError:
            pass  # the client has gone
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                data = await self._reader.read(65536)
                if not data:
                    break
                self._incoming.feed(data)
                self._came.set()
        except OSError:
            self._gone.set()
        self._ended = True
        self._came.set()

    async def _serve(self) -> None:
        while True:
            self._came.clear()
            try:
                received = self._incoming.next()
            except BadRequestError as error:
                await self._write(refusal("", error.status), "close")
                return
            if received is not None:
                await self._answer(received)
                if received.closes:
                    return
            elif self._ended:
                return
            else:
                await self._came.wait()

    async def _answer(self, received: Received) -> None:
        request = received.request
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "query_string": request.query.encode("latin-1"),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()],
        }
        messages: List[Dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]
        start: Optional[Dict[str, Any]] = None
        complete = False

        async def receive() -> Dict[str, Any]:
            if messages:
                return messages.pop()
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal start, complete
            if message["type"] == "http.response.start":
                start = message
                return
            assert start is not None
            head: Optional[Dict[str, Any]]
            head, start = start, {}
            if head:
                headers = tuple((name.decode().title(), value.decode()) for name, value in head["headers"])
                await self._write(Response(HTTPStatus(head["status"]), headers, b""), received.connection)
            self._writer.write(message["body"])
            await self._writer.drain()
            complete = not message.get("more_body", False)

        await self._application(scope, receive, send)
        if not complete:
            self._gone.set()
            raise ConnectionResetError("The answer is not complete.")

    async def _write(self, response: Response, connection: str) -> None:
        self._writer.writelines(written(response, connection))
        await self._writer.drain()
