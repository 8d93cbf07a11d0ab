"""When a worker publishes, and how long it waits, apart from its interval: what the aggregator has to do with it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, ContextManager, Iterator, List

import pytest

from tapes.distributed import link as links
from tapes.distributed import presence
from tapes.distributed.addresses import checked
from tapes.distributed.receiver import Receiver
from tapes.distributed.reporter import ZmqReporter
from tapes.distributed.unified import UnifiedRegistry
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.distributed.faults.processes import short_folder
from tests.servers.processes import PATIENCE, free_port, until

NEVER = 1e9
"""Seconds from one report to the next: in between there is only what is asked for."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder with a short path, as sockets need it."""
    with short_folder() as made:
        yield made


def test_a_flush_that_fails_does_not_end_the_reporting(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a failure like that of a report, and what could not be told comes with the next one."""
    flush = links.Link.flush
    failures: List[Exception] = []

    def fail_once(link: Any, registry: Registry, flags: int = 0) -> bool:
        if link._wanted and not failures:
            failures.append(MemoryError("There is no room."))
            raise failures[0]
        return flush(link, registry, flags)

    monkeypatch.setattr(links.Link, "flush", fail_once)
    address = checked(f"ipc://{folder}/a", keys=None, insecure=False)
    unified = UnifiedRegistry()
    receiver = Receiver(unified, address)
    clock, registry = ManualClock(), Registry()
    registry.counter("served").increment(3)

    def is_heard() -> bool:
        clock.advance(1)
        return bool(failures)

    with ZmqReporter(NEVER, address.text, registry, clock=clock) as reporter:
        until(lambda: reporter.reports == 1, "it has reported to nobody")
        receiver.start()
        try:
            until(is_heard, "the aggregator is heard")
            until(lambda: reporter.failures == 1, "that is a failure")
            reports = reporter.reports
            clock.advance(NEVER)
            until(lambda: "served" in unified.get_stats(), "it is told")
        finally:
            reporter.stop()
            receiver.stop(30)

    assert reports == 1
    assert unified.get_stats()["served"] == {"value": 3}
    assert reporter.last_error is failures[0]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{reporter!r} could not report; it will try again."
    ]


def test_a_worker_that_is_taken_to_be_gone_again_and_again_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears of it, and goes on as another one."""
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: None)
    monkeypatch.setattr(presence, "_LAST_WORDS", -1.0)
    monkeypatch.setattr(presence, "_SILENT", -NEVER)
    address = checked(f"ipc://{folder}/a", keys=None, insecure=False)
    unified = UnifiedRegistry()
    receiver = Receiver(unified, address)
    registry = Registry()
    served, latency = registry.counter("served"), registry.timer("latency")
    recorded = 0

    def is_given_up() -> bool:
        nonlocal recorded
        recorded += 1
        served.increment()
        latency.update(recorded)
        return unified.gone >= 4

    receiver.start()
    with ZmqReporter(0.02, address.text, registry):
        until(is_given_up, "it is taken to be gone again and again")
    receiver.stop(30)

    stats = unified.get_stats()
    assert stats["served"] == {"value": recorded}
    assert (stats["latency"]["count"], stats["latency"]["sum"]) == (recorded, recorded * (recorded + 1) / 2)


@contextlib.contextmanager
def nobody(folder: Path) -> Iterator[str]:
    """Leave the address empty."""
    yield f"ipc://{folder}/a"


@contextlib.contextmanager
def left_behind(folder: Path) -> Iterator[str]:
    """Leave the socket of an aggregator that was killed."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{folder}/a")
    yield f"ipc://{folder}/a"


@contextlib.contextmanager
def closed_port(folder: Path) -> Iterator[str]:
    """Have nobody listen at a port."""
    yield f"tcp://127.0.0.1:{free_port()}"


@contextlib.contextmanager
def mute(folder: Path) -> Iterator[str]:
    """Listen, and say nothing, as a process that is held still."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/a")
        listener.listen()
        yield f"ipc://{folder}/a"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (nobody, "there is none, start it or correct the address"),
        (left_behind, "nobody listens there: start it"),
        (closed_port, "nobody listens there: start it"),
        (mute, "who listens there does not answer"),
    ],
)
def test_a_worker_that_ends_does_not_wait_for_who_is_not_there(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Callable[[Path], ContextManager[str]],
    reason: str,
) -> None:
    """Where nobody is, or gives a sign of life, it ends after a moment, and says why in one line."""
    monkeypatch.setattr(links, "FAREWELL", 2 * PATIENCE)
    monkeypatch.setattr(links, "_SILENT", 0.3 if place is mute else 2 * PATIENCE)
    monkeypatch.setattr(links, "is_at_work", lambda pid: False)
    registry = Registry()
    registry.counter("served").increment(3)
    with place(folder) as address:
        reporter = ZmqReporter(NEVER, address, registry, insecure=True)
        reporter.start()
        reporter.stop(PATIENCE)

    assert reporter.reports == 2
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{reporter!r} stops, and no aggregator has confirmed its last report: {reason}")


def test_a_worker_that_ends_waits_for_an_aggregator_that_is_at_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that has a processor too little, or waits for its disk, is not one that is held still."""
    monkeypatch.setattr(links, "_SILENT", 0.0)
    monkeypatch.setattr(links, "FAREWELL", PATIENCE)
    monkeypatch.setattr(links, "is_at_work", lambda pid: pid == os.getpid())
    address = checked(f"ipc://{folder}/a", keys=None, insecure=False)
    unified = UnifiedRegistry()
    receiver = Receiver(unified, address)
    registry = Registry()
    registry.counter("served").increment(3)
    receiver.start()
    with ZmqReporter(NEVER, address.text, registry):
        until(lambda: "served" in unified.get_stats(), "it is told")
        registry.counter("served").increment(4)
    receiver.stop(PATIENCE)

    assert unified.get_stats()["served"] == {"value": 7}
    assert [record.getMessage() for record in caplog.records] == []


def test_a_thread_sleeps_as_it_did_when_it_was_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What gevent puts in the place of `time.sleep` later is for greenlets. In a thread it can hang the process."""
    registry = Registry()
    registry.counter("served").increment(3)
    reporter = ZmqReporter(NEVER, f"ipc://{folder}/a", registry)
    sleep = time.sleep
    slept: List[str] = []

    def replaced(seconds: float) -> None:
        slept.append(threading.current_thread().name)
        sleep(seconds)

    reporter.start()
    until(lambda: reporter.reports == 1, "it has reported to nobody")
    monkeypatch.setattr(time, "sleep", replaced)
    reporter.stop(PATIENCE)
    began_later = ZmqReporter(NEVER, f"ipc://{folder}/a", registry)
    before = list(slept)
    began_later.start()
    began_later.stop(PATIENCE)

    assert "tapes-ZmqReporter" not in before
    assert "tapes-ZmqReporter" in slept
