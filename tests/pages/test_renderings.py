"""Pages that are made once for many, and what becomes of those that hang."""

from __future__ import annotations

import threading
import time
from typing import List

import pytest

from tapes.pages import renderings
from tapes.pages.message import Page, Wanted
from tapes.pages.renderings import AT_ONCE, MAX_HELD, MAX_WAITING, Renderings
from tapes.testing import ManualClock
from tests.conftest import Until

WANTED = Wanted("/")


class Asker:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.there = True
        self.pages: List[Page] = []
        self.taken = threading.Event()
        self.dropped = 0

    def waits(self) -> bool:
        """Whether it is there."""
        return self.there

    def take(self, page: Page) -> None:
        """Keep the page."""
        self.pages.append(page)
        self.taken.set()

    def drop(self) -> None:
        """Count."""
        self.dropped += 1


class Making:
    """Makes pages, each of which hangs until it is released."""

    def __init__(self) -> None:
        self.counted: List[bool] = []
        self.wanted: List[Wanted] = []
        self.release = threading.Event()

    def __call__(self, wanted: Wanted, counted: bool) -> Page:
        """Hang."""
        self.counted.append(counted)
        self.wanted.append(wanted)
        self.release.wait(60)
        return Page("text/plain", b"page")


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
    pages.ask(askers[0], WANTED, counted=False)
    until(lambda: making.counted)
    for asker, counted in zip(askers[1:], (False, True, False)):
        pages.ask(asker, WANTED, counted=counted)

    making.release.set()
    until(lambda: all(asker.pages for asker in askers))

    assert making.counted == [False, True]


def test_who_has_left_gets_nothing(making: Making, until: Until) -> None:
    """Who left before the page was begun is not asked, and who has gone without a word is let go of."""
    pages = Renderings(making, "test")
    first, left, gone = Asker(), Asker(), Asker()
    pages.ask(first, WANTED, counted=True)
    until(lambda: making.counted)
    pages.ask(left, WANTED, counted=True)
    pages.ask(gone, WANTED, counted=True)

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
        pages.ask(asker, WANTED, counted=True)
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

    def take_half_a_second(wanted: Wanted, counted: bool) -> Page:
        begun.append(clock.monotonic())
        clock.advance(0.5)
        return Page("text/plain", b"page")

    monkeypatch.setattr(renderings, "time", clock)
    pages = Renderings(take_half_a_second, "pausing")
    first, second = Asker(), Asker()
    pages.ask(first, WANTED, counted=True)
    until(lambda: not threads("pausing"))
    pages.ask(second, WANTED, counted=True)
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
    pages.ask(asker, WANTED, counted=True)
    until(lambda: asker.pages)

    until(lambda: not threads("idle"))


def test_different_pages_are_made_one_after_the_other(making: Making, until: Until) -> None:
    """Those that have waited longest come first, each once for all who want it."""
    pages = Renderings(making, "several")
    askers = [Asker() for _ in range(5)]
    pages.ask(askers[0], WANTED, counted=True)
    until(lambda: making.counted)
    for asker, path in zip(askers[1:], ("/b", "/a", "/b", "/c")):
        pages.ask(asker, Wanted(path), counted=True)

    making.release.set()
    until(lambda: all(asker.pages for asker in askers))

    assert [wanted.path for wanted in making.wanted] == ["/", "/b", "/a", "/c"]


def test_so_many_different_pages_wait_and_no_more(making: Making, until: Until) -> None:
    """However many a route may tell apart, threads are few; who asks for what waits already is let in."""
    pages = Renderings(making, "various")
    pages.ask(Asker(), WANTED, counted=True)
    until(lambda: making.counted)

    waiting = [pages.ask(Asker(), Wanted("/", number), counted=True) for number in range(MAX_WAITING)]

    assert waiting == [True] * MAX_WAITING
    assert not pages.ask(Asker(), Wanted("/", -1), counted=True)
    assert pages.ask(Asker(), Wanted("/", 0), counted=True)
    assert threads("various") == MAX_WAITING + 1
    making.release.set()


def test_who_takes_a_page_too_slowly_is_forgotten(
    making: Making, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to drop the page, and nobody waits for it to leave."""
    monkeypatch.setattr(renderings, "SMALL", 0)
    pages = Renderings(making, "slow")
    making.release.set()
    askers = [Asker() for _ in range(MAX_HELD + 1)]
    for number, asker in enumerate(askers):
        until(lambda number=number: len(pages._held) == number)  # type: ignore[misc]  # a default
        pages.ask(asker, WANTED, counted=True)
        assert asker.taken.wait(60)

    assert [asker.dropped for asker in askers] == [1] + [0] * MAX_HELD
    assert list(pages._renderings) == askers[1:]
    pages.leave(askers[0])
