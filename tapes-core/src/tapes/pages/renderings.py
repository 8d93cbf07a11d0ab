"""The making of pages: clients that ask at the same moment share one, so work and memory do not grow with them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Protocol

from tapes.reporting.reporter import LOGGER_NAME
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.pages.message import Page, Wanted

    MakePage = Callable[[Wanted, bool], Page]

PATIENCE = 15.0
"""Seconds a slow page, for example with a hanging producer, may delay the next one."""

LONGEST_PAUSE = 1.0
"""The longest pause between two pages, in seconds. The pause is as long as the page took, so that half of the time is
left to the program."""

MAX_WAITING = 16
"""The most different pages that may wait to be made. It bounds the threads if a route has many variants."""

AT_ONCE = 4
"""The most pages made at the same time, when each takes longer than `PATIENCE`."""

MAX_HELD = 4
"""The most pages held for slow clients, unless they are small."""

SMALL = 32 * 1024 * 1024
"""Bytes of pages held for slow clients; beyond it the oldest of more than `MAX_HELD` are dropped."""


class Asker(Protocol):
    """A request for a page. All methods are called from the thread of a rendering."""

    def waits(self) -> bool:
        """Return whether it still waits for the page."""

    def take(self, page: Page) -> None:
        """Take the page."""

    def drop(self) -> None:
        """Stop waiting, because the client has gone; or stop sending the page, to free its memory."""


class _Rendering:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.askers: Dict[Asker, None] = {}  # the requests that wait for it, later those still sending it
        self.counted = False
        self.began = 0.0
        self.size = 0


class Renderings:
    """Makes pages in daemon threads, one after the other. Thread-safe.

    A request that comes while its page is being made waits for the next one, so that a page is never older than the
    request. A page that no request waits for any more is not made.
    """

    def __init__(self, make: MakePage, name: str) -> None:
        """Make pages with `make` in threads named `tapes-<name>-page`.

        `make` is called with the wanted page, and whether a client will see it. It must not raise.
        """
        self._make = make
        self._thread_name = f"tapes-{name}-page"
        self._streak = Streak(LOGGER_NAME, name)
        self._changed = threading.Condition()
        self._next: Dict[Wanted, _Rendering] = {}  # in the order in which they began to wait
        self._next_not_before = 0.0
        self._running: List[_Rendering] = []
        self._held: List[_Rendering] = []
        self._renderings: Dict[Asker, _Rendering] = {}

    def ask(self, asker: Asker, wanted: Wanted, *, counted: bool) -> bool:
        """Make the page for `asker`, which must `leave()` in the end. `counted` says whether a client will see it.

        Return False if too many pages are waiting, or if no thread can be started, which is logged: then ask again.
        """
        try:
            with self._changed:
                rendering = self._next.get(wanted)
                if rendering is None:
                    if len(self._next) >= MAX_WAITING:
                        return False
                    rendering = self._begin(wanted)
                rendering.askers[asker] = None
                rendering.counted = rendering.counted or counted
                self._renderings[asker] = rendering
        except RuntimeError as error:
            self._streak.failed(f"could not make its page, and keeps trying. {no_thread(error)}")
            return False
        self._streak.succeeded()
        return True

    def leave(self, asker: Asker) -> None:
        """Release the page of an asker, which has sent it or no longer wants it. Idempotent."""
        with self._changed:
            rendering = self._renderings.pop(asker, None)
            if rendering is not None:
                del rendering.askers[asker]
                if rendering in self._held and not rendering.askers:
                    self._held.remove(rendering)

    def _begin(self, wanted: Wanted) -> _Rendering:
        rendering = _Rendering(wanted)
        threading.Thread(target=self._run, args=(rendering,), name=self._thread_name, daemon=True).start()
        self._next[wanted] = rendering
        return rendering

    def _run(self, rendering: _Rendering) -> None:
        with self._changed:
            while not self._may_begin(rendering):
                pause = self._next_not_before - time.monotonic()
                self._changed.wait(PATIENCE / 10 if self._running or pause <= 0 else pause)
            del self._next[rendering.wanted]
            askers = [asker for asker in rendering.askers if asker.waits()]
            dropped = [asker for asker in rendering.askers if asker not in askers] + self._make_room()
            rendering.began = time.monotonic()
            self._running.append(rendering)
        for asker in dropped:
            asker.drop()
        try:
            if askers:
                page = self._make(rendering.wanted, rendering.counted)
                rendering.size = len(page.body or b"")
                for asker in askers:
                    asker.take(page)
        finally:
            with self._changed:
                self._running.remove(rendering)
                now = time.monotonic()
                self._next_not_before = now + min(now - rendering.began, LONGEST_PAUSE)
                if rendering.askers:
                    self._held.append(rendering)
                self._changed.notify_all()

    def _may_begin(self, rendering: _Rendering) -> bool:
        if next(iter(self._next.values())) is not rendering:
            return False
        newest = max((rendering.began for rendering in self._running), default=0.0)
        if not self._running:
            return time.monotonic() >= self._next_not_before
        return len(self._running) < AT_ONCE and time.monotonic() - newest >= PATIENCE

    def _make_room(self) -> List[Asker]:
        """Drop the oldest held pages, if they are too many, and return the askers that are still sending them."""
        dropped: List[Asker] = []
        while len(self._held) >= MAX_HELD and sum(held.size for held in self._held) > SMALL:
            oldest = self._held.pop(0).askers
            for asker in oldest:
                self._renderings.pop(asker, None)  # it may never leave: not every server says that it is done
            dropped += oldest
        return dropped


def no_thread(error: RuntimeError) -> str:
    """Return a message that no thread could be started, with a remedy."""
    return f"No thread could be started ({error}). Raise the limit of threads (ulimit -u), or run fewer."
