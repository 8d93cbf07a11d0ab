"""Making pages, each once for all who ask at the same moment, and so that neither work nor memory grows with them."""

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
"""Seconds after which a page that is still being made, as a producer hangs, keeps the next one waiting no more."""

BREATH = 1.0
"""Seconds between two pages at most. It is as long as the first of them took, so half of the time is left to others."""

MAX_WAITING = 16
"""How many different pages may wait to be made. It bounds the threads, should a route have many variants."""

AT_ONCE = 4
"""How many pages are made at a time when all of them take longer than that."""

MAX_HELD = 4
"""How many pages are kept for clients that take them slowly, unless they are small."""

SMALL = 32 * 1024 * 1024
"""How many bytes all pages that are kept may have together before those that take the oldest have to go."""


class Asker(Protocol):
    """Who asks for a page. All methods are called from the thread of a rendering."""

    def waits(self) -> bool:
        """Return whether it still waits for the page."""

    def take(self, page: Page) -> None:
        """Take the page."""

    def drop(self) -> None:
        """Wait no more, because it is gone; or take no more of the page, whose memory is needed for others."""


class _Rendering:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.askers: Dict[Asker, None] = {}  # who wait for it, then who are still sending it
        self.counted = False
        self.began = 0.0
        self.size = 0


class Renderings:
    """Makes pages in daemon threads, one after the other. Thread-safe.

    While one is being made, all who want it wait for the next one, so that each is as of a moment after
    the request. If nobody waits for it any more when its turn has come, it is not made.
    """

    def __init__(self, make: MakePage, name: str) -> None:
        """Make pages with `make` in threads named `tapes-<name>-page`.

        `make` gets what is wanted, and whether anybody is going to see it. It raises nothing.
        """
        self._make = make
        self._thread_name = f"tapes-{name}-page"
        self._streak = Streak(LOGGER_NAME, name)
        self._changed = threading.Condition()
        self._next: Dict[Wanted, _Rendering] = {}  # those first that have waited longest first
        self._next_not_before = 0.0
        self._running: List[_Rendering] = []
        self._held: List[_Rendering] = []
        self._renderings: Dict[Asker, _Rendering] = {}

    def ask(self, asker: Asker, wanted: Wanted, *, counted: bool) -> bool:
        """Have `asker` take the page; it must `leave()` in the end. `counted` says whether the page is to be shown.

        Return False if too many others are waiting to be made, or, which is logged, if no thread can be started to make
        it in: then ask again.
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
        """Take note that an asker has got what it asked for, or wants it no more. Doing it again does nothing."""
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
                breath = self._next_not_before - time.monotonic()
                self._changed.wait(PATIENCE / 10 if self._running or breath <= 0 else breath)
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
                self._next_not_before = now + min(now - rendering.began, BREATH)
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
        """Forget the oldest pages that are kept, if they are too many, and return who are still taking them."""
        dropped: List[Asker] = []
        while len(self._held) >= MAX_HELD and sum(held.size for held in self._held) > SMALL:
            oldest = self._held.pop(0).askers
            for asker in oldest:
                self._renderings.pop(asker, None)  # it may never leave: not every server says that it is done
            dropped += oldest
        return dropped


def no_thread(error: RuntimeError) -> str:
    """Say that no thread could be started, and what to do about it."""
    return f"No thread could be started ({error}). Raise the limit of threads (ulimit -u), or run fewer."
