"""Pages for coroutines, made apart from the loops that wait for them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Tuple

from tapes.pages.connections import RETRY
from tapes.pages.renderings import Renderings
from tapes.reporting.tornado.loops import asyncio_loop

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from tapes.pages.message import MakePage, Page

    Fetched = asyncio.Future[Page]


class Pages:
    """Makes pages for requests that any loops of this process serve."""

    def __init__(self, make: MakePage, name: str) -> None:
        """Make pages with `make` in daemon threads named `tapes-<name>-page`."""
        self._make = make
        self._name = name
        self._renderings: Tuple[int, Renderings] = (0, Renderings(make, name))

    def fetch(self, loop: IOLoop) -> Fetched:
        """Return what is going to be a page. Cancel it if it is not wanted any more. Called on the thread of `loop`."""
        pid, renderings = self._renderings
        if pid != os.getpid():  # the thread that makes a page of the parent does not exist here
            renderings = Renderings(self._make, self._name)
            self._renderings = (os.getpid(), renderings)
        fetched: Fetched = asyncio.Future(loop=asyncio_loop(loop))
        asker = _Asker(loop, fetched)
        fetched.add_done_callback(lambda _: renderings.leave(asker))
        self._ask(loop, renderings, asker)
        return fetched

    def _ask(self, loop: IOLoop, renderings: Renderings, asker: _Asker) -> None:
        if asker.waits() and not renderings.ask(asker, counted=True):
            loop.call_later(RETRY, self._ask, loop, renderings, asker)


class _Asker:
    def __init__(self, loop: IOLoop, fetched: Fetched) -> None:
        self._loop = loop
        self._fetched = fetched

    def waits(self) -> bool:
        return not self._fetched.done()

    def take(self, page: Page) -> None:
        self._loop.add_callback(self._take, page)

    def drop(self) -> None:
        """Do nothing: what it has taken, it has written."""

    def _take(self, page: Page) -> None:
        if not self._fetched.done():
            self._fetched.set_result(page)
