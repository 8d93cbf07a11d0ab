"""What is true of the folds of the core in pure Python, which another thread may find under way."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Iterator, List

import pytest

from tapes.recording import pure
from tapes.testing import ManualClock
from tests.conftest import Until
from tests.recording.cores import KINDS, Subject

NOW = 1000.0


@contextmanager
def held_up(monkeypatch: pytest.MonkeyPatch, buffer: Any, until: Until) -> Iterator[threading.Event]:
    """Let a thread be in the middle of a fold of `buffer`, until it is let go."""
    begun, go_on = threading.Event(), threading.Event()
    absorbed = type(buffer)._absorbed

    def slowly(self: Any, *arguments: Any) -> Any:
        if self is buffer and threading.current_thread() is folder:
            begun.set()
            assert go_on.wait(30)
        return absorbed(self, *arguments)

    monkeypatch.setattr(type(buffer), "_absorbed", slowly)
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
        exchanging = threading.Thread(target=lambda: taken.extend(subject.buffer.exchange(None)))
        exchanging.start()
        exchanging.join(0.05)
        assert exchanging.is_alive()
        go_on.set()
        exchanging.join()

    assert subject.count() == empty
    subject.buffer.exchange(taken)
    assert subject.count() == 1
