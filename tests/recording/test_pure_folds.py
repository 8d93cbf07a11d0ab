"""What is true of the folds of the core in pure Python, which another thread may find under way."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Iterator, List, Tuple

import pytest

from tapes.recording import pure
from tapes.state.histogram import Slice
from tapes.state.meter import TICK
from tapes.testing import ManualClock
from tests.conftest import Until
from tests.recording.cores import KINDS, Subject

NOW = 1000.0


@contextmanager
def held_up(monkeypatch: pytest.MonkeyPatch, buffer: Any, until: Until) -> Iterator[threading.Event]:
    """Let a thread be in the middle of a fold of `buffer`, until it is let go."""
    begun, go_on = threading.Event(), threading.Event()
    absorbed = type(buffer)._with_records

    def slowly(self: Any, *arguments: Any) -> Any:
        if self is buffer and threading.current_thread() is folder:
            begun.set()
            assert go_on.wait(30)
        return absorbed(self, *arguments)

    monkeypatch.setattr(type(buffer), "_with_records", slowly)
    folder = threading.Thread(target=lambda: buffer.read(NOW))
    folder.start()
    until(begun.is_set)
    try:
        yield go_on
    finally:
        go_on.set()
        folder.join()


@pytest.mark.parametrize("kind", KINDS)
def test_who_commits_waits_for_a_fold_in_another_thread(
    kind: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """A reader does not; both have everything in the end."""
    subject = Subject(pure, kind, ManualClock(NOW).monotonic)
    buffer = subject.buffer
    for _ in range(3):
        subject.record(2)
    found: List[Any] = []
    with held_up(monkeypatch, buffer, until) as go_on:
        subject.record(5)
        seen = subject.count()
        committing = threading.Thread(target=lambda: found.append(buffer.committed(NOW)))
        committing.start()
        committing.join(0.05)
        assert committing.is_alive()
        go_on.set()
        committing.join()

    assert seen == subject.count()
    assert buffer.committed(NOW) is found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_who_exchanges_waits_for_a_fold_in_another_thread(
    kind: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """What that thread folds is in what is taken out, and not in what is left."""
    subject = Subject(pure, kind, ManualClock(NOW).monotonic)
    empty = subject.count()
    subject.record(1)
    taken: List[Any] = []
    with held_up(monkeypatch, subject.buffer, until) as go_on:
        exchanging = threading.Thread(target=lambda: taken.extend(subject.buffer.swap(None)))
        exchanging.start()
        exchanging.join(0.05)
        assert exchanging.is_alive()
        go_on.set()
        exchanging.join()

    assert subject.count() == empty
    subject.buffer.swap(taken)
    assert subject.count() == 1


FULL = pure.CAPACITY + 1
"""Records that make a buffer full, so that whoever records folds it."""


def is_plain(numbers: Any) -> bool:
    """Whether these are numbers, bytes and tuples of such, of which CPython's collector takes no notice."""
    if type(numbers) is tuple:
        return all(map(is_plain, numbers))
    return type(numbers) in (int, float, bytes)


def full_subject(kind: str, times: int) -> Tuple[Subject, int]:
    """Return a buffer that has just been full for the last of so many times, with values of all sizes. Nobody read."""
    clock = ManualClock(NOW)
    subject = Subject(pure, kind, clock.monotonic)
    for number in range(FULL * times):
        subject.record(number % 1000)
        clock.advance(TICK / (FULL * 6))
    while subject.backlog():
        subject.record(1)
        clock.advance(TICK / (FULL * 6))
        number += 1
    return subject, number + 1


@pytest.mark.parametrize("kind", ["histogram", "timer"])
@pytest.mark.parametrize("read", ["numbers", "committed"])
def test_a_buffer_that_is_full_again_and_again_is_packed_when_it_is_read(
    kind: str, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once only, for as long as nothing is recorded. What is read is what would have been packed each time."""
    packs: List[Slice] = []
    pack = Slice.packed

    def packed(part: Slice) -> bytes:
        packs.append(part)
        return pack(part)

    monkeypatch.setattr(Slice, "packed", packed)
    subject, count = full_subject(kind, 4)
    before = len(packs)
    numbers = getattr(subject.buffer, read)(subject.buffer.now())
    again = [subject.buffer.numbers(subject.buffer.now()), subject.buffer.committed(subject.buffer.now())]

    assert (before, len(packs)) == (0, 1)
    assert is_plain(numbers)
    assert all(each is numbers for each in again)
    assert subject.count() == count
    subject.record(1)
    assert subject.count() == count + 1


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_what_is_not_packed_yet_is_read_while_another_thread_folds(
    kind: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """It is packed for whoever reads, and the fold goes on with what it found."""
    for extra in (0, 3):
        subject, count = full_subject(kind, 2)
        for _ in range(extra):
            subject.record(1)
        with monkeypatch.context() as patch, held_up(patch, subject.buffer, until):
            numbers = subject.buffer.numbers(subject.buffer.now())
            seen = subject.count()

        assert is_plain(numbers)
        assert seen == subject.count() == count + extra
        assert is_plain(subject.buffer.committed(subject.buffer.now()))


@pytest.mark.parametrize("kind", ["histogram", "timer"])
def test_what_is_not_packed_yet_is_exchanged_and_forgotten_in_a_child(kind: str) -> None:
    """As all else is that has been recorded."""
    subject, count = full_subject(kind, 2)
    other, _ = full_subject(kind, 2)
    taken = subject.buffer.swap(None)
    assert subject.count() == 0
    subject.buffer.swap(taken)
    other.buffer.restart()

    assert subject.count() == count
    assert other.count() == 0
