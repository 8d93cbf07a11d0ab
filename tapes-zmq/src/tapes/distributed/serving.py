"""The pages of an aggregator for the workers that answer for all: HTTP on a socket beside the one they publish to."""

from __future__ import annotations

import os
import socket
import stat
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable, Dict, Hashable, Optional

from tapes.distributed import addresses
from tapes.distributed.account import PATH, AccountRoute
from tapes.pages.application import Application
from tapes.pages.formats import format_named
from tapes.pages.http import HTTPReporter
from tapes.pages.message import TEXT, Page
from tapes.pages.plugin_routes import PluginRoutes
from tapes.pages.relay import FORMATS, NOTHING
from tapes.pages.route import FormatRoute
from tapes.process.descriptors import OwnSocket, own

if TYPE_CHECKING:
    from tapes.distributed.addresses import Access
    from tapes.distributed.unified import UnifiedRegistry
    from tapes.pages.message import Headers
    from tapes.pages.route import Route
    from tapes.snapshot import Snapshot

AFTER = "tapes-after"
"""The header with the worker's identity, session and number of the frame before which all has to be in the page."""

_PATIENCE = 2.0  # seconds to wait for these frames
_TICK = 0.002

_LATE = b"503 The aggregator has not taken in what this worker has recorded: it has too much to do.\n"


class Pages(HTTPReporter):
    """Serves the pages of an aggregator on a unix socket, whose file has the same access as that of the workers."""

    def __init__(
        self, registry: UnifiedRegistry, path: str, access: Access, account: Callable[[], Dict[str, Any]]
    ) -> None:
        super().__init__(0, registry)
        self._account = account
        self._path = path
        self._bound_in = os.getpid()
        self._access = access
        self._merged = registry

    def listen(self) -> OwnSocket:
        """Listen at the path, in place of an aggregator that was killed."""
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(self._path).st_mode):
                os.unlink(self._path)
        listener = own(socket.socket(fileno=addresses.listening(self._path, self._access)))
        listener.setblocking(False)
        self._bound_in = os.getpid()
        self._listener = listener
        return listener

    def release(self) -> None:
        """Close the socket and remove its file, which in a forked child is the parent's."""
        if self._listener is not None and self._bound_in == os.getpid():
            with suppress(OSError):
                os.unlink(self._path)
        super().release()

    def application(self) -> Application:
        """Return the application: all routes, each format by its name, and the account."""
        routes = PluginRoutes(FormatRoute())

        def find(path: str) -> Optional[Route]:
            if path == PATH:
                return AccountRoute(self._account)
            if path.startswith(FORMATS):
                name = path[len(FORMATS) :]
                return _After(FormatRoute(lambda: format_named(name)), self._snapshot)
            route = routes(path)
            return None if route is None else _After(route, self._snapshot)

        return Application.with_log(lambda: NOTHING, find, type(self).__name__, repr(self))

    def _snapshot(self, after: str) -> Optional[Snapshot]:
        """Return a snapshot in which a worker's frames are taken in; None if they do not come."""
        with suppress(ValueError):
            identity, session, sequence = after.split(" ")
            worker, position = bytes.fromhex(identity), (int(session), int(sequence))
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:
                known = self._merged.workers.get(worker)
                if known is not None and (known.session, known.sequence) >= position:
                    break
                time.sleep(_TICK)
            else:
                return None
        return self.registry.snapshot()

    def __repr__(self) -> str:
        return f"The pages of the aggregator at {self._path}"


class _After:
    """A route whose page includes what a worker has sent before it asked."""

    def __init__(self, route: Route, snapshot: Callable[[str], Optional[Snapshot]]) -> None:
        self._route = route
        self._snapshot = snapshot

    def variant(self, headers: Headers) -> Hashable:
        return headers.get(AFTER, ""), self._route.variant(headers)

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        after, of_route = variant
        taken = self._snapshot(after)
        if taken is None:
            return Page(TEXT, _LATE, (), HTTPStatus.SERVICE_UNAVAILABLE)
        return self._route.page(taken, of_route)
