"""What an aggregator knows, in a file: put into the next one, it goes on with the same figures."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, Set
from zlib import crc32

import pytest

from tapes.distributed import presence, state_format
from tapes.distributed.frames import ENDING, LEAVING, FrameError
from tapes.distributed.keeper import Keeper
from tapes.distributed.processes import processes
from tapes.distributed.state_format import decode, encode, fill
from tapes.errors import ReporterError
from tapes.facts import Facts
from tapes.testing import ManualClock
from tests.distributed.simulated import (
    KEPT,
    Asking,
    Bench,
    OtherClock,
    Simulated,
    above,
    apply,
    assert_alike,
    buckets_of,
    record,
    restarted,
    stats_of,
    told,
)

Machine = Callable[[str], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that boots the system again: from then on it is another one."""

    def boot(name: str) -> None:
        monkeypatch.setattr(state_format, "machine", lambda: name)
        monkeypatch.setattr(presence, "machine", lambda: name)

    return boot


@pytest.fixture
def bench() -> Bench:
    """Return three workers and their aggregator."""
    return Bench(0, 1, 2)


def without_gauges(registry: Asking) -> Dict[str, Any]:
    """Return the statistics that are kept."""
    stats = stats_of(registry)
    stats.pop("level", None)
    return stats


def assert_same(one: Asking, other: Asking) -> None:
    """Check that two aggregators show the same, but for gauges."""
    assert_alike(without_gauges(one), without_gauges(other))
    assert buckets_of(one, one.clock.monotonic()) == buckets_of(other, other.clock.monotonic())


@pytest.mark.parametrize("seconds", [1, 70, 370])
def test_what_was_kept_is_shown_again(bench: Bench, seconds: int) -> None:
    """Totals, windows and rates, of workers that live and of those that are gone. Gauges are not kept."""
    bench.work(seconds)
    bench.end(0)
    assert len(bench.aggregator.workers) == 2

    other = restarted(bench.aggregator)

    assert_same(other, bench.aggregator)
    assert "level" not in stats_of(other)
    assert other.identity == bench.aggregator.identity != Asking(bench.clock).identity
    bench.clock.advance(100)
    assert_same(other, bench.aggregator)
    assert_same(restarted(restarted(other)), bench.aggregator)


@pytest.mark.parametrize("away", [0, 30, 400])
@pytest.mark.parametrize("seconds", [1, 70, 370])
def test_workers_that_live_tell_everything_again(bench: Bench, seconds: int, away: int) -> None:
    """What they tell takes the place of what was kept of them. Nothing is lost, nothing counted twice."""
    for second in range(seconds):
        bench.work(1)
        if second == 40:
            bench.give_up(-1)
            bench.workers.pop()
    kept = restarted(bench.aggregator)
    bench.aggregator = Asking(bench.clock, bench.workers)
    bench.aggregator.ask = lambda worker: None
    bench.work(away)
    bench.aggregator = kept
    bench.begin()
    bench.work(60)

    each, gone = seconds + away + 60, 41 if seconds > 40 else 0
    stats = bench.stats
    assert stats.hits["count"] == sum(each * (worker.hello.pid + 1) for worker in bench.workers) + 3 * gone
    assert stats.time["count"] == stats.spread["count"] == each * len(bench.workers) + gone
    assert stats.orders["of=shop"].value == stats.spread["count"] << 60
    assert told(bench.aggregator)["bad_frames"] == 0


def test_a_worker_is_asked_to_begin_anew(bench: Bench) -> None:
    """One that goes on with its session is asked for everything. What is shown does not go back meanwhile."""
    bench.work(100)
    bench.restart()
    for number in range(3):
        bench.tell(number)
        assert bench.stats.spread["count"] == 300
    bench.work(5)

    assert bench.aggregator.asked == bench.workers
    assert_same(bench.aggregator, restarted(bench.aggregator))
    assert bench.stats.hits["count"] == 105 * 6
    assert bench.stats.level.value == 4 * 3


def test_a_worker_that_has_died_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept of it stays in the totals."""
    dead: Set[int] = set()
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: pid not in dead)
    bench = Bench()
    for pid in (1, 2):
        bench.employ(pid, processes=processes())
    bench.work(100)
    before = without_gauges(bench.restart())
    dead.add(1)
    bench.pass_time(2.5)

    assert list(bench.aggregator.workers) == [bench.workers[1].identity]
    assert_alike(without_gauges(bench.aggregator)["spread"], before["spread"])
    assert bench.stats.hits["count"] == 300
    bench.begin()
    bench.tell(1)
    assert bench.stats.hits["count"] == 300
    assert bench.stats.level.value == 99


def test_a_worker_that_had_gone_before_is_not_counted_again(bench: Bench) -> None:
    """What comes of it after the restart, late or repeated, is known already."""
    bench.work(10)
    bench.begin()
    sent = bench.workers[0].tell(bench.aggregator, flags=LEAVING | ENDING)
    bench.pass_time(3)
    before = bench.restart()
    apply(bench.aggregator, sent)
    bench.begin()
    bench.tell(0)

    assert bench.stats.hits["count"] == 10 * 6
    assert_same(bench.aggregator, before)


def test_a_series_that_a_worker_has_removed_meanwhile(bench: Bench) -> None:
    """It goes when the worker has told everything again."""
    bench.work(5)
    bench.restart()
    for worker in bench.workers:
        worker.registry.remove("hits")
    bench.begin()
    bench.tell()

    assert set(without_gauges(bench.aggregator)) == {"orders", "balance", "spread", "time"}


@pytest.mark.parametrize("boots", [1, 2])
def test_after_a_reboot_the_totals_are_the_same(machine: Machine, boots: int) -> None:
    """Its workers are gone, and what they have counted stays. Windows and rates are those of new values."""
    bench = Bench()
    bench.clock.advance(8_640_000)
    for pid in range(3):
        bench.employ(pid)
    for _ in range(2):  # what the second makes is not over yet
        bench.clock.advance(360)
        bench.work(80)
    before, buckets = without_gauges(bench.aggregator), buckets_of(bench.aggregator, bench.clock.monotonic())
    content = encode(bench.aggregator)
    for boot in range(boots):
        machine(f"boot {boot}")
        again = Bench()
        again.clock = ManualClock(30.0)
        again.aggregator = Asking(again.clock)
        fill(again.aggregator, decode(content))
        content = encode(again.aggregator)

    assert again.aggregator.workers == {}
    after = without_gauges(again.aggregator)
    assert buckets_of(again.aggregator, again.clock.monotonic()) == buckets
    for name in ("orders", "balance"):
        assert_alike(after[name], before[name])
    for name in ("hits", "time", "spread"):
        for key in after[name]:
            assert_alike(after[name][key], before[name][key] if key in ("count", "sum") else 0.0, key)

    for pid in range(2):
        again.employ(pid, machine=f"boot {boots - 1}")
    again.work(120)
    fresh = Asking(again.clock)
    for worker in again.workers:
        Simulated(again.clock, registry=worker.registry, machine=f"boot {boots - 1}").tell(fresh)
    for name in ("hits", "time", "spread"):
        found, wanted = stats_of(again.aggregator)[name], stats_of(fresh)[name]
        for key in wanted:
            total = before[name][key] if key in ("count", "sum") else 0
            assert_alike(found[key], wanted[key] + total, key)
    again.clock.advance(361)
    assert again.stats.spread.max == 0


@pytest.mark.parametrize("heard", [True, False])
def test_workers_of_another_machine_that_live_on_after_a_reboot(machine: Machine, heard: bool) -> None:
    """They tell everything again, and the windows are right; one that is not heard of spoils nothing."""
    bench = Bench()
    bench.clock.advance(8_640_000)
    bench.employ(1)
    there = bench.employ(2, OtherClock(bench.clock, 3e6), machine="other")
    bench.work(100)
    content = encode(bench.aggregator)
    machine("another boot")
    now = ManualClock(30.0)
    other = Asking(now, bench.workers)
    fill(other, decode(content))
    local = other.introduce(Simulated(now, 3, machine="another boot"))
    for _ in range(120):
        for worker, value in ((local, 100_000.0), *([(there, 200_000.0)] if heard else [])):
            record(worker, "histogram", value, "spread")
            record(worker, "timer", value, "time")
            worker.tell(other)
        now.advance(1)
        bench.clock.advance(1)
    other.tidy()

    stats = other.get_stats()
    assert stats.spread["count"] == 200 + 120 + (120 if heard else 0)
    assert stats.spread.max == stats.time.max == (200_000.0 if heard else 100_000.0)
    assert stats.time.m1 > 0.5
    assert stats.hits["count"] == 300
    now.advance(361)
    assert other.get_stats().spread.max == other.get_stats().time.max == 0


def test_what_was_said_of_names_is_kept(bench: Bench) -> None:
    """For the series that are. Of gauges it comes again with the workers that have them."""
    for name, kind in (("hits", "meter"), ("level", "gauge")):
        getattr(bench.workers[0].registry, kind)(name, description=f"The {name}.", unit="things")
    bench.work(3)
    bench.restart()
    assert bench.aggregator.all_facts() == {"hits": Facts("The hits.", "things")}
    bench.begin()
    bench.tell(0)

    assert bench.aggregator.all_facts() == bench.workers[0].registry.all_facts()
    assert restarted(restarted(bench.aggregator)).all_facts() == {"hits": Facts("The hits.", "things")}


def test_what_cannot_be_said_of_names_is_left_out(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """And all else is read."""
    for name in ("hits", "orders"):
        bench.workers[0].registry.meter(name, description=f"The {name}.").mark()
    bench.tell(0)
    content = encode(bench.aggregator).replace(b"The hits.", b"The\nhits.")
    content = content[:12] + crc32(content[16:]).to_bytes(4, "little") + content[16:]
    other = Asking(bench.clock)
    fill(other, decode(content))

    assert other.all_facts() == {"orders": Facts("The orders.", "")}
    assert other.get_stats().hits["count"] == 1
    assert "has 1 invalid series or workers: they are left out." in caplog.text


def test_the_series_of_each_worker_are_not_kept() -> None:
    """They are shown again when the worker tells them."""
    bench = Bench(7, 8, by_worker=True)
    bench.work(3)
    other = restarted(bench.aggregator, by_worker=True)
    assert "worker=here:7" not in stats_of(other)["hits"]
    bench.begin()
    bench.workers[0].tell(other)

    hits = stats_of(other)["hits"]
    assert (hits["count"], hits["worker=here:7"]["count"]) == (9, 3)
    assert "worker=here:8" not in hits


def test_an_aggregator_among_the_workers() -> None:
    """At a site: what the aggregators of its hosts have told is kept as that of any worker, and told again."""
    bench = Bench(0, 1)
    up, site = above(bench.aggregator)
    for second in range(160):
        if second == 130:
            before, site = site, restarted(site)
            assert_same(site, before)
            up.publisher.begin()
        bench.work(1)
        up.tell(site)

    assert_same(site, bench.aggregator)


def test_what_is_kept_does_not_grow_with_the_workers_that_ever_were() -> None:
    """Nor with the values that were recorded. Their counts are exact."""
    bench = Bench()
    sizes = []
    for pid in range(400):
        worker = bench.employ(pid)
        bench.work(1)
        bench.end()
        bench.workers.remove(worker)
        sizes.append(len(encode(bench.aggregator)) if pid % 10 == 9 else 0)

    assert sizes[-1] <= max(sizes[:200]) * 1.1
    assert bench.aggregator.workers == {}
    assert bench.stats.hits["count"] == bench.stats.time["count"] == 400


@pytest.mark.parametrize("kind", KEPT)
def test_each_kind_is_kept(bench: Bench, kind: str) -> None:
    """With numbers of any size, and names of any kind."""
    for value in (1, 3, 1 << 62):
        record(bench.workers[0], kind, value, "naïve \ud800 name", {"clé": "\udfff", "k": ""})
    bench.tell()

    assert_same(restarted(bench.aggregator), bench.aggregator)


# The content of the file.


@pytest.fixture
def content(bench: Bench) -> bytes:
    """Return what is kept of some workers."""
    bench.work(60)
    bench.give_up(0)
    return encode(bench.aggregator)


def test_every_cut_and_every_bit_that_is_wrong_is_noticed(content: bytes) -> None:
    """A file of which only the beginning is there, or with one bit that is another, is a FrameError."""
    for place in range(len(content)):
        for end in (b"", *(bytes([content[place] ^ bit]) + content[place + 1 :] for bit in (1, 16, 128))):
            with pytest.raises(FrameError):
                decode(content[:place] + end)


def test_what_is_wrong_is_said(content: bytes) -> None:
    """Another file, another version, a file that is damaged."""
    for wrong, problem in (
        (b"[reporters]\nport = 8889\n" * 10, "not the state of an aggregator"),
        (content[:11] + b"\2" + content[12:], "version 2, and this reads version 1"),
        (content[:-1] + b"\xff", "damaged"),
        (content + b"\0", "damaged"),
    ):
        with pytest.raises(FrameError, match=problem):
            decode(wrong)


# The file.


def test_the_file_is_written_and_read_again(tmp_path: Path, bench: Bench) -> None:
    """A keeper restores what another one has kept. The file is private."""
    keeper = Keeper(tmp_path / "metrics.state")
    assert not keeper.restore(bench.aggregator)
    bench.work(10)
    assert keeper.keep(bench.aggregator)
    other = Asking(bench.clock)

    assert Keeper(str(tmp_path / "metrics.state")).restore(other)
    assert_same(other, bench.aggregator)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"metrics.state": 0o600, "metrics.state.journal-3": 0o600}


def test_the_path_is_that_of_the_folder_at_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that goes to another folder later keeps its state where it was."""
    monkeypatch.chdir(tmp_path)
    keeper = Keeper("metrics.state")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    keeper.keep(Asking(ManualClock()))

    assert (tmp_path / "metrics.state").exists()


@pytest.mark.parametrize("found", [b"", b"something else entirely", b"tapes-state", b"tapes-state\1"])
def test_a_file_that_cannot_be_used_is_left_alone(tmp_path: Path, found: bytes) -> None:
    """It is not overwritten: the error says what to do."""
    path = tmp_path / "metrics.state"
    path.write_bytes(found)
    with pytest.raises(ReporterError, match=r"metrics\.state cannot be used: .* Move it away"):
        Keeper(path).restore(Asking(ManualClock()))

    assert path.read_bytes() == found


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no/metrics.state", "cannot be written: No such file or directory"),
        ("", "cannot be read: it is a folder"),
    ],
)
def test_a_path_that_cannot_be_a_file(tmp_path: Path, path: str, problem: str) -> None:
    """It is said at the start, and not when there is something to lose."""
    with pytest.raises(ReporterError, match=problem):
        Keeper(tmp_path / path).restore(Asking(ManualClock()))


def test_a_folder_that_cannot_be_read_is_none_without_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an aggregator would begin from zero, and replace the state that it has not seen."""
    path = tmp_path / "metrics.state"
    Keeper(path).keep(Asking(ManualClock()))
    before = path.read_bytes()

    def newest(state: str) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), state)

    monkeypatch.setattr("tapes.distributed.journal.newest", newest)
    with pytest.raises(ReporterError, match=r"the folder of .* cannot be read: Permission denied"):
        Keeper(path).restore(Asking(ManualClock()))

    assert path.read_bytes() == before


def test_what_cannot_be_written_is_logged_once(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that is full does not end the aggregator, the old file stays, and is replaced when it can be."""
    caplog.set_level(logging.INFO)
    state = tmp_path / "metrics.state"
    keeper = Keeper(state)
    keeper.restore(bench.aggregator)
    before = state.read_bytes()
    bench.work(1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert [keeper.keep(bench.aggregator) for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text
    assert state.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.state", "metrics.state.journal-1"]
    assert keeper.keep(bench.aggregator)

    assert len(caplog.records) == 2
    assert state.read_bytes() != before
