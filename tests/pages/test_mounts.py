"""Pages that are mounted in applications of WSGI and ASGI, called as their servers call them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from types import ModuleType
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional, Tuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

import tapes
from tapes import pages
from tapes.errors import ReporterOptionError, UnknownPluginError
from tapes.pages import asgi_app, renderings, waiter, wsgi_app
from tapes.pages.asgi_app import ASGI
from tapes.pages.renderings import MAX_HELD, Renderings
from tapes.pages.wsgi_app import WSGI
from tapes.testing import isolated_registry
from tests.conftest import PATIENCE, Until
from tests.pages.serving import PAGE, FaultyRegistry

Answer = Tuple[int, Dict[str, str], bytes]

JSON = {"Content-Type": "application/json", "Content-Length": "22", "Cache-Control": "no-store"}
LARGE = 10 * 65536
BUSY = b"503 Service Unavailable\n"


@pytest.fixture
def registry() -> FaultyRegistry:
    """Make a registry that holds one counter, and counts the pages that are made of it."""
    return FaultyRegistry()


class Held:
    """A gauge that holds up each page until it is released."""

    def __init__(self) -> None:
        self.reached = 0
        self.release = threading.Event()

    def __call__(self) -> int:
        """Wait."""
        self.reached += 1
        self.release.wait(PATIENCE)
        return 1


@pytest.fixture
def held(registry: FaultyRegistry) -> Iterator[Held]:
    """Hold up all pages, and let them go in the end."""
    held = Held()
    registry.gauge("held", held)
    yield held
    held.release.set()


class Large:
    """A format of a large page."""

    media_type = "text/plain"

    def encode(self, snapshot: Any) -> bytes:
        """Return so many bytes."""
        return b"x" * LARGE


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a format of large pages."""
    monkeypatch.setattr("tapes.plugins.format_named", lambda name: Large())
    return "large"


def environ(path: str = "/", method: str = "GET", **more: str) -> Dict[str, Any]:
    """Return what a server of WSGI calls an application with."""
    made: Dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": "", "SCRIPT_NAME": "", **more}
    setup_testing_defaults(made)
    return made


def call_wsgi(application: WSGI, path: str = "/", method: str = "GET", *, valid: bool = True, **more: str) -> Answer:
    """Call the application as a server does, which it looks after very closely if that is `valid`."""
    started: List[Tuple[str, List[Tuple[str, str]]]] = []

    def start_response(status: str, headers: List[Tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: None

    called: Any = validator(application) if valid else application
    body = called(environ(path, method, **more), start_response)
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    ((status, headers),) = started
    return int(status[:3]), dict(headers), content


class Call:
    """One request to an application of ASGI, in the loop that runs."""

    def __init__(self, application: ASGI, path: str = "/", method: str = "GET", **scope: Any) -> None:
        self.sent: List[Dict[str, Any]] = []
        self.messages: asyncio.Queue[Dict[str, Any]] = asyncio.Queue()
        self.blocked: Optional[Awaitable[Any]] = None
        self.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        full = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", **scope}
        self.task = asyncio.ensure_future(application(full, self.messages.get, self._send))

    async def answer(self) -> Answer:
        """Return the whole answer."""
        await asyncio.wait_for(self.task, PATIENCE)
        start, *pieces = self.sent
        assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
        headers = {name.decode().title(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, b"".join(piece["body"] for piece in pieces)

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body" and self.blocked is not None:
            await self.blocked
        self.sent.append(message)


def call_asgi(application: ASGI, path: str = "/", method: str = "GET", **scope: Any) -> Answer:
    """Call the application as a server does, on a loop of its own."""

    async def call() -> Answer:
        return await Call(application, path, method, **scope).answer()

    return asyncio.run(call())


async def happened(condition: Callable[[], object]) -> None:
    """Wait on the loop until something is true."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "It has not happened."
        await asyncio.sleep(0.002)


def forked(action: Callable[[], bytes]) -> bytes:
    """Return what `action` returns in a forked child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, action())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        found = answer.read()
    os.waitpid(pid, 0)
    return found


def becomes_idle(application: Any) -> bool:
    """Return whether nothing is left of any request, once the threads that make pages have ended."""
    made = application._application.renderings
    deadline = time.monotonic() + PATIENCE
    while made._next or made._running or made._held or made._renderings:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


@pytest.mark.parametrize(
    "call", [lambda: call_wsgi(pages.wsgi()), lambda: call_asgi(pages.asgi())], ids=["wsgi", "asgi"]
)
def test_the_process_wide_registry_is_shown_by_default(call: Callable[[], Answer]) -> None:
    """Mounted without arguments it shows what tapes.counter() and the like have made, as JSON."""
    with isolated_registry() as registry:
        registry.counter("mounted.orders").increment(3)
        status, headers, body = call()

    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["mounted"] == {"orders": {"value": 3}}


def test_a_configuration_is_mounted() -> None:
    """Its applications show its registry."""
    registry = FaultyRegistry()

    with tapes.configure({"reporters": {}}, registry=registry) as configuration:
        assert call_wsgi(configuration.wsgi()) == (200, JSON, PAGE)
        assert call_wsgi(configuration.wsgi("json")) == (200, JSON, PAGE)
        assert call_asgi(configuration.asgi()) == (200, JSON, PAGE)
        assert call_asgi(configuration.asgi("json")) == (200, JSON, PAGE)
        with pytest.raises(UnknownPluginError, match="'nothing'"):
            configuration.wsgi("nothing")


@pytest.mark.parametrize("mount", [pages.wsgi, pages.asgi])
@pytest.mark.parametrize(
    "options", [{"registry": 7}, {"format": 7}, {"allowed_hosts": "name"}, {"allowed_hosts": [7]}], ids=str
)
def test_wrong_arguments_are_refused_when_it_is_mounted(mount: Any, options: Dict[str, Any]) -> None:
    """And not when the first request comes."""
    with pytest.raises(ReporterOptionError, match=next(iter(options))):
        mount(**options)


@pytest.mark.parametrize(
    ("prefix", "path", "status"),
    [
        ("", "/", 200),
        ("", "", 200),
        ("/metrics", "", 200),
        ("/metrics", "/", 200),
        ("/metrics", "/x", 404),
        ("/a/b", "/", 200),
        ("", "//", 404),
        ("", "/other", 404),
    ],
)
def test_it_is_mounted_below_any_prefix(registry: FaultyRegistry, prefix: str, path: str, status: int) -> None:
    """Servers of ASGI say the whole path, or that below the prefix."""
    wsgi, asgi = pages.wsgi(registry), pages.asgi(registry)

    assert call_wsgi(wsgi, path, SCRIPT_NAME=prefix, valid=path != "//")[0] == status
    assert call_asgi(asgi, prefix + path, root_path=prefix)[0] == status
    assert call_asgi(asgi, path, root_path=prefix)[0] == status
    assert call_asgi(asgi, prefix + path, root_path=f"{prefix}/")[0] == status


def test_all_answers_are_valid(registry: FaultyRegistry) -> None:
    """Whatever is asked and answered, it is what PEP 3333 says."""
    wsgi = pages.wsgi(registry, allowed_hosts=["Metrics.example.org"])

    assert call_wsgi(wsgi, method="HEAD") == (200, JSON, b"")
    assert call_wsgi(wsgi, method="POST")[::2] == (405, b"405 Method Not Allowed\n")
    assert call_wsgi(wsgi, HTTP_HOST="metrics.example.org:80")[0] == 200
    assert call_wsgi(wsgi, HTTP_HOST="rebound.example.org")[0] == 403
    registry.fault = OSError("no snapshot")
    assert call_wsgi(wsgi)[::2] == (500, b"500 Internal Server Error\n")


def test_any_host_is_answered_by_default(registry: FaultyRegistry) -> None:
    """For whom an application is, its server says."""
    hosts = [(b"host", b"metrics.example.org")]

    assert call_wsgi(pages.wsgi(registry), HTTP_HOST="metrics.example.org")[0] == 200
    assert call_asgi(pages.asgi(registry), headers=hosts)[0] == 200
    assert call_asgi(pages.asgi(registry, allowed_hosts=["a"]), headers=hosts)[0] == 403
    assert call_asgi(pages.asgi(registry, allowed_hosts=["metrics.example.org"]), headers=hosts)[0] == 200


def test_a_large_page_comes_in_pieces(registry: FaultyRegistry, large: str) -> None:
    """All of it does, and nothing is left of it."""
    wsgi, asgi = pages.wsgi(registry, large), pages.asgi(registry, large)

    assert call_wsgi(wsgi)[2] == call_asgi(asgi)[2] == b"x" * LARGE
    assert call_wsgi(wsgi, method="HEAD")[1:] == (
        {"Content-Type": "text/plain", "Content-Length": str(LARGE), "Cache-Control": "no-store"},
        b"",
    )
    assert becomes_idle(wsgi)
    assert becomes_idle(asgi)


def test_a_page_that_hangs_is_503(registry: FaultyRegistry, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever, and nobody is waited for."""
    monkeypatch.setattr(wsgi_app, "TIMEOUT", 0.02)
    monkeypatch.setattr(asgi_app, "PAGE_TIMEOUT", 0.02)
    wsgi, asgi = pages.wsgi(registry), pages.asgi(registry)

    assert call_wsgi(wsgi)[::2] == (503, BUSY)
    assert call_asgi(asgi)[::2] == (503, BUSY)
    for application in (wsgi, asgi):
        assert not application._application.renderings._renderings


def test_all_who_ask_at_the_same_moment_get_one_page(registry: FaultyRegistry, held: Held, until: Until) -> None:
    """However many they are, in threads or on a loop: the page that is being made, and one more, are all."""
    wsgi, asgi = pages.wsgi(registry), pages.asgi(registry)
    answers: List[int] = []
    threads = [threading.Thread(target=lambda: answers.append(call_wsgi(wsgi)[0]), daemon=True) for _ in range(40)]

    async def ask() -> None:
        first = Call(asgi)
        await happened(lambda: held.reached == 2)
        others = [Call(asgi) for _ in range(200)]
        await happened(lambda: len(asgi._application.renderings._renderings) == 201)
        held.release.set()
        answers.extend([(await each.answer())[0] for each in (first, *others)])

    threads[0].start()
    until(lambda: held.reached == 1)
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(wsgi._application.renderings._renderings) == 40)
    asyncio.run(ask())
    for thread in threads:
        thread.join(PATIENCE)

    assert answers == [200] * 241
    assert registry.snapshots == 4


def test_who_takes_large_pages_slowly_makes_room(
    registry: FaultyRegistry, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest end early: the server sees an error between two pieces, or an answer that is not complete."""
    monkeypatch.setattr(renderings, "SMALL", LARGE)
    wsgi, asgi = pages.wsgi(registry, large), pages.asgi(registry, large)
    slow = wsgi(environ(), lambda status, headers: None)
    pieces = iter(slow)
    assert len(next(pieces)) == LARGE / 10
    waiting: List[Any] = []
    for number in range(MAX_HELD):
        held = wsgi._application.renderings._held
        while len(held) <= number:  # the thread that has made the page is about to keep it
            time.sleep(0.002)
        waiting.append(wsgi(environ(), lambda status, headers: None))

    with pytest.raises(ConnectionResetError):
        next(pieces)
    for body in (slow, *waiting):
        body.close()
    assert becomes_idle(wsgi)

    async def stall() -> List[Dict[str, Any]]:
        slow = Call(asgi)
        slow.blocked = asyncio.get_running_loop().create_future()
        held = asgi._application.renderings._held
        for number in range(MAX_HELD):
            await happened(lambda: len(held) > number)  # noqa: B023 -- it is not kept
            Call(asgi).blocked = slow.blocked
        await asyncio.wait_for(slow.task, PATIENCE)
        return slow.sent

    assert [message["type"] for message in asyncio.run(stall())] == ["http.response.start"]
    assert becomes_idle(asgi)


def large_pages_of(*roots: object) -> int:
    """Return how many large pages these objects keep in memory, besides those that are kept for others."""
    seen, new = {id(root) for root in roots}, list(roots)
    found = 0
    while new:
        one = new.pop()
        found += isinstance(one, bytes) and len(one) == LARGE
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, (type, ModuleType, Renderings)):
                seen.add(id(other))
                new.append(other)
    return found


@pytest.mark.skipif(not hasattr(gc, "get_referents"), reason="This interpreter does not tell what refers to what.")
def test_of_a_page_that_is_taken_too_slowly_nothing_is_left(
    registry: FaultyRegistry, large: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """Neither in memory nor in any book, although its server neither goes on nor closes it."""
    monkeypatch.setattr(renderings, "SMALL", LARGE)
    wsgi = pages.wsgi(registry, large)
    made = wsgi._application.renderings
    slow = wsgi(environ(), lambda status, headers: None)
    pieces = iter(slow)
    next(pieces)
    kept = large_pages_of(slow, pieces)
    others: List[Any] = []
    for number in range(MAX_HELD):
        until(lambda number=number: len(made._held) > number)  # type: ignore[misc]  # a default
        others.append(wsgi(environ(), lambda status, headers: None))

    assert (kept, large_pages_of(slow, pieces)) == (1, 0)
    assert len(made._renderings) == len(others)
    for body in others:
        body.close()
    assert becomes_idle(wsgi)


def test_a_page_that_was_read_to_its_end_need_not_be_closed(registry: FaultyRegistry, large: str) -> None:
    """Nothing is left of it."""
    wsgi = pages.wsgi(registry, large)
    body = wsgi(environ(), lambda status, headers: None)

    assert sum(map(len, body)) == LARGE
    assert becomes_idle(wsgi)


def test_who_does_not_take_a_page_is_let_go(
    registry: FaultyRegistry, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a loop a client has its time, and then its answer is not complete."""
    monkeypatch.setattr(asgi_app, "REQUEST_TIMEOUT", 0.02)
    asgi = pages.asgi(registry, large)

    async def stall() -> int:
        slow = Call(asgi)
        slow.blocked = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(slow.task, PATIENCE)
        return len(slow.sent)

    assert asyncio.run(stall()) == 1
    assert becomes_idle(asgi)


@pytest.mark.parametrize("way", ["disconnect", "cancel"])
def test_of_a_client_that_has_gone_nothing_is_left(registry: FaultyRegistry, held: Held, way: str) -> None:
    """No page is made for it, nobody waits, and no task is left, be it that the server says so or ends the task."""
    asgi = pages.asgi(registry)

    async def leave() -> List[Any]:
        first = Call(asgi)
        await happened(lambda: held.reached)
        gone = Call(asgi)
        await asyncio.sleep(0)
        await happened(lambda: asgi._application.renderings._next)
        if way == "disconnect":
            gone.messages.put_nowait({"type": "http.disconnect"})
        else:
            gone.task.cancel()
        await asyncio.wait([gone.task], timeout=PATIENCE)
        assert gone.task.cancelled() == (way == "cancel")
        held.release.set()
        assert (await first.answer())[0] == 200
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return gone.sent

    assert asyncio.run(leave()) == []
    assert becomes_idle(asgi)
    assert registry.snapshots == 1


@pytest.mark.parametrize("more", [False, True])
def test_what_calls_it_may_tell_of_no_end(registry: FaultyRegistry, more: bool) -> None:
    """A request that comes again and again at once, or with a body without end, does not hold up the loop."""
    asgi = pages.asgi(registry)
    sent: List[Any] = []

    async def receive() -> Dict[str, Any]:
        return {"type": "http.request", "body": b"x", "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(asyncio.wait_for(asgi(scope, receive, send), PATIENCE))

    assert (sent[0]["status"], sent[1]["body"]) == (200, PAGE)


def test_who_has_gone_asks_no_more(registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, a page is asked for again and again, as long as somebody waits for it."""
    asked: List[Any] = []
    asgi = pages.asgi(registry)
    monkeypatch.setattr(waiter, "RETRY", 0.001)
    monkeypatch.setattr(asgi._application.renderings, "ask", lambda *args, counted: asked.append(counted))

    async def leave() -> None:
        gone = Call(asgi)
        await happened(lambda: len(asked) > 2)
        gone.messages.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(gone.task, PATIENCE)
        asked.clear()
        await asyncio.sleep(0.02)

    asyncio.run(leave())
    assert asked == []


def test_a_client_that_goes_while_it_is_sent_a_page_is_let_go(registry: FaultyRegistry, large: str) -> None:
    """Nothing more is sent."""
    asgi = pages.asgi(registry, large)

    async def leave() -> int:
        gone = Call(asgi)
        gone.blocked = asyncio.get_running_loop().create_future()
        await happened(lambda: gone.sent)
        gone.messages.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(gone.task, PATIENCE)
        return len(gone.sent)

    assert asyncio.run(leave()) == 1
    assert becomes_idle(asgi)


@pytest.mark.parametrize(("error", "raised"), [(BrokenPipeError(), False), (KeyError("server"), True)])
def test_an_error_of_the_server_is_its_own(registry: FaultyRegistry, error: Exception, raised: bool) -> None:
    """What `send` raises gets back to the server, unless it says that the client has gone."""
    asgi = pages.asgi(registry)

    async def fail() -> None:
        call = Call(asgi)
        broken = asyncio.get_running_loop().create_future()
        broken.set_exception(error)
        call.blocked = broken
        await asyncio.wait_for(call.task, PATIENCE)

    if raised:
        with pytest.raises(KeyError, match="server"):
            asyncio.run(fail())
    else:
        asyncio.run(fail())
    assert becomes_idle(asgi)


def test_it_goes_along_with_the_life_of_a_server(registry: FaultyRegistry) -> None:
    """It has nothing to do then, and says so; a websocket is refused, and what is unknown is an error."""
    asgi = pages.asgi(registry)

    async def tell(kind: str, *messages: str) -> List[Any]:
        told = asyncio.Queue[Any]()
        for message in messages:
            told.put_nowait({"type": message})
        sent: List[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await asgi({"type": kind, "path": "/", "headers": []}, told.get, send)
        return sent

    assert asyncio.run(tell("lifespan", "lifespan.startup", "lifespan.shutdown")) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
    ]
    assert asyncio.run(tell("websocket", "websocket.connect")) == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(ValueError, match="'smtp'"):
        asyncio.run(tell("smtp"))


def test_one_application_serves_any_loops(registry: FaultyRegistry) -> None:
    """One loop after the other, and several at once."""
    asgi = pages.asgi(registry)
    answers: List[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(call_asgi(asgi)), daemon=True) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert [*answers, call_asgi(asgi)] == [(200, JSON, PAGE)] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork here.")
def test_it_survives_a_fork(registry: FaultyRegistry, held: Held, until: Until) -> None:
    """A child that is forked while pages are made serves its own, as the threads that make them are not there."""
    wsgi, asgi = pages.wsgi(registry), pages.asgi(registry)
    threads = [
        threading.Thread(target=call_wsgi, args=(wsgi,), daemon=True),
        threading.Thread(target=call_asgi, args=(asgi,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    until(lambda: held.reached == 2)

    def serve() -> bytes:
        held.release.set()
        registry.remove("held")
        registry.counter("orders").increment()
        return call_wsgi(wsgi)[2] + call_asgi(asgi)[2]

    assert forked(serve) == b'{"orders":{"value":1}}' * 2
    held.release.set()
    for thread in threads:
        thread.join(PATIENCE)
