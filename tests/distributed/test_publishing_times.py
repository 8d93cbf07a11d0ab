"""When a worker publishes, and how long it waits, apart from its interval: what the aggregator has to do with it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, List

import pytest

from tapes.distributed import link as links
from tapes.distributed import presence, receiver
from tapes.distributed.reporter import ZmqReporter
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.distributed.receiving import at, await_total, receiving
from tests.servers.processes import PATIENCE, until

NEVER = 1e9
"""Seconds from one report to the next: in between there is only what is asked for."""


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
    address = at(folder / "a")
    clock, registry = ManualClock(), Registry()
    registry.counter("served").increment(3)

    def is_heard() -> bool:
        clock.advance(1)
        return bool(failures)

    with ZmqReporter(NEVER, address.text, registry, clock=clock) as reporter:
        until(lambda: reporter.reports == 1, "it has reported to nobody")
        with receiving(address) as unified:
            until(is_heard, "the aggregator is heard")
            until(lambda: reporter.failures == 1, "that is a failure")
            reports = reporter.reports
            clock.advance(NEVER)
            await_total(unified, 3)
            reporter.stop()

    assert reports == 1
    assert reporter.last_error is failures[0]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{reporter!r} could not report; it will try again."
    ]


def test_a_worker_that_is_taken_to_be_gone_again_and_again_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears of it, and goes on as another one."""
    monkeypatch.setattr(receiver, "_TIDY", 0.05)
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: None)
    monkeypatch.setattr(presence, "_LAST_WORDS", -1.0)
    monkeypatch.setattr(presence, "_SILENT", -NEVER)
    address = at(folder / "a")
    registry = Registry()
    served, latency = registry.counter("served"), registry.timer("latency")
    recorded = 0

    def is_given_up() -> bool:
        nonlocal recorded
        recorded += 1
        served.increment()
        latency.update(recorded)
        return unified.gone >= 4

    with receiving(address) as unified, ZmqReporter(0.02, address.text, registry):
        until(is_given_up, "it is taken to be gone again and again")

    stats = unified.get_stats()
    assert stats["served"] == {"value": recorded}
    assert (stats["latency"]["count"], stats["latency"]["sum"]) == (recorded, recorded * (recorded + 1) / 2)


def test_a_worker_that_ends_waits_for_an_aggregator_that_is_at_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that has a processor too little, or waits for its disk, is not one that is held still."""
    monkeypatch.setattr(links, "_SILENT", 0.0)
    monkeypatch.setattr(links, "FAREWELL", PATIENCE)
    monkeypatch.setattr(links, "is_busy", lambda pid: pid == os.getpid())
    address = at(folder / "a")
    registry = Registry()
    registry.counter("served").increment(3)
    with receiving(address) as unified, ZmqReporter(NEVER, address.text, registry):
        await_total(unified, 3)
        registry.counter("served").increment(4)

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
