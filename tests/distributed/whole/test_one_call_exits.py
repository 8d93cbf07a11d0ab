"""One call delays no exit: the seconds from the end of a program to that of its exit handlers."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack, contextmanager
from typing import Callable, ContextManager, Iterator

import pytest

from tests.distributed.one_call import AT_THE_END, OneCall
from tests.distributed.whole.programs import Place

RUNS = 3
"""How often a program is run: the fastest of its exits counts, since the machine is busy."""

# Handlers run in the reverse order: this one runs when all those of tapes are done.
PROGRAM = """
import atexit
import time

atexit.register(lambda: print(time.monotonic() - ended))
import application
{deed}
ended = time.monotonic()
"""
RECORDS = "application.served.increment(1)"

Obstacle = Callable[[OneCall, ExitStack], ContextManager[object]]


def fastest_exit(one: OneCall, deed: str) -> float:
    """Run a program some times, and return the least seconds that its exit took."""
    (one.folder / "program.py").write_text(PROGRAM.format(deed=deed))
    programs = []
    for _ in range(RUNS):
        programs.append(one.place.command([sys.executable, "program.py"], {}, one.folder))
        assert programs[-1].ended() == 0, programs[-1].said()
    return min(float(program.said()) for program in programs)


@contextmanager
def working(one: OneCall, kept: ExitStack) -> Iterator[int]:
    """Have an aggregator, which stays as long as another worker is kept. Gives its process."""
    keeping = [sys.executable, "-c", "import time, application; application.served.increment(1); time.sleep(600)"]
    kept.callback(one.place.command(keeping, {}, one.folder).terminated)
    one.place.expect({"served.value": 1})
    yield one.place.report().documents()[-1]["tapes.report"]["pid"]


@contextmanager
def hung(one: OneCall, kept: ExitStack) -> Iterator[None]:
    """Have an aggregator that stands still."""
    with working(one, kept) as pid:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def stale(one: OneCall, _: ExitStack) -> Iterator[None]:
    """Have the socket file of one that was killed."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(one.at.socket)
    yield
    os.unlink(one.at.socket)


@contextmanager
def mute(one: OneCall, _: ExitStack) -> Iterator[None]:
    """Have somebody who listens and says nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(one.at.socket)
        listener.listen(100)
        yield
    os.unlink(one.at.socket)


@contextmanager
def nobody(_: OneCall, __: ExitStack) -> Iterator[None]:
    """Have nobody, and none who starts one."""
    yield


@pytest.mark.parametrize(
    ("obstacle", "start", "limit", "others"),
    [
        (working, "auto", 0.3, 1),
        (nobody, "never", 0.6, 0),
        (stale, "never", 0.6, 0),
        (mute, "never", 1.0, 0),
        (hung, "auto", 1.0, 1),
    ],
)
def test_a_process_that_has_recorded_something_exits_in_time(
    place: Place, obstacle: Obstacle, start: str, limit: float, others: int
) -> None:
    """What it could not send is left in a file, and nothing is lost."""
    one = OneCall(place, f'start = "{start}"', interval=AT_THE_END)
    one.application()
    with ExitStack() as kept:
        with obstacle(one, kept):
            took = fastest_exit(one, RECORDS)
        one = OneCall(place, 'start = "auto"', interval=AT_THE_END)
        assert one.place.command([sys.executable, "program.py"], {}, one.folder).ended() == 0

    assert took < limit
    one.check(RUNS + 1 + others)


def test_a_process_that_has_recorded_nothing_exits_at_once(place: Place) -> None:
    """It waits for nobody."""
    one = OneCall(place)
    one.application()

    assert fastest_exit(one, "") < 0.02
    assert one.left_over() == []
