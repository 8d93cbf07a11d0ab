"""A future of a page, for coroutines."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Callable

from tapes.pages.connections import RETRY

if TYPE_CHECKING:
    from tapes.pages.application import Application
    from tapes.pages.message import Page, Wanted


class Waiter:
    """Waits for one page, which is made in another thread. Use it in the thread of the running loop."""

    def __init__(self, application: Application, wanted: Wanted, *, counted: bool) -> None:
        """Ask for the page. `counted` says whether a client will see it."""
        self._loop = asyncio.get_running_loop()
        self._renderings = application.renderings
        self._wanted = wanted
        self._counted = counted
        self.page: asyncio.Future[Page] = self._loop.create_future()
        """The page. Cancel the future if the page is no longer wanted."""
        self.dropped: asyncio.Future[None] = self._loop.create_future()
        """Done when the rest of the page must not be sent."""
        self._ask()

    def leave(self) -> None:
        """Release the page. Idempotent."""
        self.page.cancel()
        self.dropped.cancel()
        self._renderings.leave(self)

    def waits(self) -> bool:
        """Return whether the page is still wanted. Called from any thread."""
        return not self.page.done()

    def take(self, page: Page) -> None:
        """Deliver the page. Called from any thread."""
        self._call(self._take, page)

    def drop(self) -> None:
        """End the sending of the page. Called from any thread."""
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
