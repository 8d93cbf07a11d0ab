"""Pages that are made apart from the loop which serves them, a few at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Tuple

from tapes.reporting.connections import RETRY
from tapes.reporting.exchange import TEXT
from tapes.reporting.reporter import LOGGER_NAME
from tapes.reporting.tornado.loops import asyncio_loop
from tapes.streak import Streak

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from tapes.reporting.page import Page

    Fetched = asyncio.Future[Page]
    Make = Callable[[], Page]

AT_ONCE = 4
"""How many pages are made at a time. More would keep the loop waiting for its turn to run, which each of them takes."""


class Pages:
    """Makes pages for the requests that one loop serves: each in a daemon thread, so that none holds the loop.

    Not in an executor, whose threads the interpreter waits for when it exits. When as many are being made as may be,
    further requests wait, in order. A page is begun after its request has come in.

    All methods are called on the thread of the loop.
    """

    def __init__(self, name: str) -> None:
        """Name the threads `tapes-<name>-page`."""
        self._name = name
        self._waiting: Deque[Tuple[Fetched, Make]] = deque()
        self._making = 0
        self._retrying = False
        self._streak = Streak(LOGGER_NAME, name)

    def fetch(self, loop: IOLoop, make: Make) -> Fetched:
        """Return what `make`, called in a thread, is going to return. Cancel it if it is not wanted any more."""
        fetched: Fetched = asyncio.Future(loop=asyncio_loop(loop))
        self._waiting.append((fetched, make))
        self._begin(loop)
        return fetched

    def _begin(self, loop: IOLoop) -> None:
        while self._waiting and self._making < AT_ONCE and not self._retrying:
            fetched, make = self._waiting[0]
            if not fetched.done() and not self._begun(loop, fetched, make):
                return
            self._waiting.popleft()

    def _begun(self, loop: IOLoop, fetched: Fetched, make: Make) -> bool:
        thread = threading.Thread(
            target=self._make, args=(loop, fetched, make), name=f"tapes-{self._name}-page", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            self._streak.failed("could not start a thread to make its page in; it tries again and again.", error)
            self._retrying = True
            loop.call_later(RETRY, self._retry, loop)
            return False
        self._streak.succeeded()
        self._making += 1
        return True

    def _retry(self, loop: IOLoop) -> None:
        self._retrying = False
        self._begin(loop)

    def _make(self, loop: IOLoop, fetched: Fetched, make: Make) -> None:
        page: Page = (TEXT, None)
        try:
            page = make()
        finally:
            loop.add_callback(self._made, loop, fetched, page)

    def _made(self, loop: IOLoop, fetched: Fetched, page: Page) -> None:
        self._making -= 1
        if not fetched.done():
            fetched.set_result(page)
        self._begin(loop)
