"""Waiting for a page in a coroutine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Callable

from tapes.pages.connections import RETRY

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.pages.message import Page, Wanted


class Waiter:
    """Waits for one page, which is made in a thread, and lets go of it. Used on the thread of the loop that runs."""

    def __init__(self, application: Application, wanted: Wanted, *, counted: bool) -> None:
        """Ask for the page. `counted` says whether it will be shown."""
        self._loop = asyncio.get_running_loop()
        self._renderings = application.renderings
        self._wanted = wanted
        self._counted = counted
        self.page: asyncio.Future[Page] = self._loop.create_future()
        """The page. Cancel it if it is not wanted any more."""
        self.dropped: asyncio.Future[None] = self._loop.create_future()
        """Done when nothing more of the page is to be sent."""
        self._ask()

    def leave(self) -> None:
        """Let go of the page. Doing it again does nothing."""
        self.page.cancel()
        self.dropped.cancel()
        self._renderings.leave(self)

    def waits(self) -> bool:
        """Return whether the page is still wanted. Called from any thread."""
        return not self.page.done()

    def take(self, page: Page) -> None:
        """Have the page. Called from any thread."""
        self._call(self._take, page)

    def drop(self) -> None:
        """Let go of what has been taken. Called from any thread."""
        self._call(self._drop)

    def _ask(self) -> None:
        if self.waits() and not self._renderings.ask(self, self._wanted, counted=self._counted):
            self._loop.call_later(RETRY, self._ask)

    def _take(self, page: Page) -> None:
        if not self.page.done():
            self.page.set_result(page)

    def _drop(self) -> None:
        if not self.dropped.done():
            self.dropped.set_result(None)

    def _call(self, function: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(function, *args)
