"""The walk of one value through the modules, as docs/design.md shows it."""

from __future__ import annotations

import socket
import sys
from contextlib import closing
from types import FrameType
from typing import Callable, List, Tuple

import pytest

from tapes.distributed.publishing import Publisher, hello
from tapes.distributed.unified import UnifiedRegistry
from tapes.encoding.json import JsonFormat
from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tapes.testing import ManualClock
from tests.docs.pages import blocks
from tests.packaging.building import ROOT

TURNS = {"statsd": 155, "page": 575}
"""How often at the most the walk comes back to a module that it has been in."""


def walked(do: Callable[[], None]) -> Tuple[List[str], int]:
    """Return the modules that are entered, in the order in which they are, and how often one is entered again."""
    entered: List[str] = []

    def look(frame: FrameType, event: str, _: object) -> None:
        at = frame if event == "call" else frame.f_back if event == "return" else None
        while at is not None and not at.f_globals.get("__name__", "").startswith("tapes."):
            at = at.f_back
        name = at.f_globals["__name__"] if at is not None else ""
        if name and entered[-1:] != [name]:
            entered.append(name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        do()
    finally:
        sys.setprofile(before)
    return [name[len("tapes.") :] for name in dict.fromkeys(entered)], len(entered) - len(set(entered))


@pytest.fixture(params=["statsd", "page"])
def walk(request: pytest.FixtureRequest) -> Tuple[str, List[str], int]:
    """Record one value of a timer, and send it to a StatsD, or to an aggregator, of which the page is made."""
    clock = ManualClock()
    registry = Registry(clock=clock)
    timer = registry.timer("shop.latency")
    if request.param == "statsd":
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as statsd:
            statsd.bind(("127.0.0.1", 0))
            reporter = StatsdReporter(10, "127.0.0.1", statsd.getsockname()[1], registry=registry)

            def send() -> None:
                timer.update(0.25)
                reporter.report()

            walked(send)  # what is looked up once is known from here on
            modules, turns = walked(send)
            reporter.stop()
    else:
        aggregator, publisher = UnifiedRegistry(clock=clock), Publisher(hello(1.0, settles=True))
        publisher.begin()

        def publish() -> None:
            timer.update(0.25)
            for frame in publisher.flush(registry):
                assert aggregator.apply(frame)
            assert b"latency" in JsonFormat().encode(aggregator.snapshot())

        walked(publish)
        modules, turns = walked(publish)
    return request.param, modules, turns


def test_the_walk_of_one_value_is_the_one_that_the_page_shows(walk: Tuple[str, List[str], int]) -> None:
    """Module by module; and it does not go back and forth more often than it has to."""
    to, modules, turns = walk
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    _, heading, below = page.partition("\n## The walk of one value\n")
    assert heading
    shown = dict(zip(("statsd", "page"), (block.content.split() for block in blocks(below))))

    assert modules == shown[to]
    assert turns <= TURNS[to]
