"""Pages that are made once for many, and what becomes of those that hang."""

from __future__ import annotations

import threading
import time
from typing import List

import pytest

from tapes.pages import renderings
from tapes.pages.message import Page
from tapes.pages.renderings import AT_ONCE, Renderings
from tapes.testing import ManualClock
from tests.conftest import Until


class Asker:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.there = True
        self.pages: List[Page] = []
        self.dropped = 0

    def waits(self) -> bool:
        """Whether it is there."""
        return self.there

    def take(self, page: Page) -> None:
        """Keep the page."""
        self.pages.append(page)

    def drop(self) -> None:
        """Count."""
        self.dropped += 1


class Making:
    """Makes pages, each of which hangs until it is released."""

    def __init__(self) -> None:
        self.counted: List[bool] = []
        self.release = threading.Event()

    def __call__(self, counted: bool) -> Page:
        """Hang."""
        self.counted.append(counted)
        self.release.wait(60)
        return "text/plain", b"page"


def threads(name: str) -> int:
    """Return how many threads make pages under that name."""
    return sum(thread.name == f"tapes-{name}-page" for thread in threading.enumerate())


@pytest.fixture
def making() -> Making:
    """Make pages that hang."""
    return Making()


def test_a_page_is_counted_if_anybody_gets_to_see_it(making: Making, until: Until) -> None:
    """Of those who wait for one page, a single GET makes it a report."""
    pages = Renderings(making, "test")
    askers = [Asker() for _ in range(4)]
    pages.ask(askers[0], counted=False)
    until(lambda: making.counted)
    for asker, counted in zip(askers[1:], (False, True, False)):
        pages.ask(asker, counted=counted)

    making.release.set()
    until(lambda: all(asker.pages for asker in askers))

    assert making.counted == [False, True]


def test_who_has_left_gets_nothing(making: Making, until: Until) -> None:
    """Who left before the page was begun is not asked, and who has gone without a word is let go of."""
    pages = Renderings(making, "test")
    first, left, gone = Asker(), Asker(), Asker()
    pages.ask(first, counted=True)
    until(lambda: making.counted)
    pages.ask(left, counted=True)
    pages.ask(gone, counted=True)

    pages.leave(left)
    pages.leave(left)
    gone.there = False
    making.release.set()
    until(lambda: gone.dropped)

    assert (making.counted, left.pages, left.dropped, gone.pages) == ([True], [], 0, [])


def test_pages_that_hang_are_not_waited_for_and_are_few(
    making: Making, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the next one is made beside one that hangs, but only a few are, and all get one in the end."""
    monkeypatch.setattr(renderings, "PATIENCE", 0.01)
    pages = Renderings(making, "hanging")
    askers = [Asker() for _ in range(AT_ONCE + 3)]
    for number, asker in enumerate(askers):
        pages.ask(asker, counted=True)
        until(lambda number=number: len(making.counted) == min(number + 1, AT_ONCE))  # type: ignore[misc]  # a default

    running = threads("hanging")
    making.release.set()
    until(lambda: all(asker.pages for asker in askers))

    assert running == AT_ONCE + 1
    assert len(making.counted) == AT_ONCE + 1


def test_there_is_a_pause_between_pages(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next page is begun when as much time has passed as the one before took."""
    clock = ManualClock()
    begun: List[float] = []

    def take_half_a_second(counted: bool) -> Page:
        begun.append(clock.monotonic())
        clock.advance(0.5)
        return "text/plain", b"page"

    monkeypatch.setattr(renderings, "time", clock)
    pages = Renderings(take_half_a_second, "pausing")
    first, second = Asker(), Asker()
    pages.ask(first, counted=True)
    until(lambda: not threads("pausing"))
    pages.ask(second, counted=True)
    clock.advance(0.25)
    time.sleep(0.01)

    clock.advance(0.25)
    until(lambda: second.pages)

    assert begun[1] - begun[0] == 1.0


def test_no_thread_is_left_behind(making: Making, until: Until) -> None:
    """Nothing runs while nobody asks."""
    pages = Renderings(making, "idle")
    making.release.set()
    asker = Asker()
    pages.ask(asker, counted=True)
    until(lambda: asker.pages)

    until(lambda: not threads("idle"))
