"""What an aggregator knows, in a file: put into the next one, it goes on with the same figures."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, List, Set
from zlib import crc32

import pytest

from tapes.distributed import keeping, presence
from tapes.distributed.frames import ENDING, LEAVING, FrameError
from tapes.distributed.keeper import Keeper
from tapes.distributed.keeping import decode, encode, fill
from tapes.distributed.processes import processes
from tapes.errors import ReporterError
from tapes.facts import Facts
from tapes.testing import ManualClock
from tests.distributed.simulated import (
    HERE,
    Asking,
    OtherClock,
    Simulated,
    apply,
    assert_alike,
    buckets_of,
    stats_of,
    told,
)

KINDS = ("counter", "meter", "histogram", "timer")
"""Those that are kept: gauges are told by who lives."""

Machine = Callable[[str], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that boots the system again: from then on it is another one."""

    def boot(name: str) -> None:
        monkeypatch.setattr(keeping, "machine", lambda: name)
        monkeypatch.setattr(presence, "machine", lambda: name)

    return boot


def work(clock: ManualClock, workers: List[Simulated], aggregator: Asking, seconds: int) -> None:
    """Record in workers, and tell it, for some time."""
    for second in range(seconds):
        for number, worker in enumerate(workers):
            worker.registry.counter("orders", {"of": "shop"}).increment(1 << 60)
            worker.registry.counter("balance").decrement(0.5)
            worker.registry.meter("hits").mark(number + 1)
            worker.registry.gauge("level").set(second)
            worker.registry.histogram("spread").update(1.5 ** ((second + number) % 20) - 3)
            worker.registry.timer("time").update(0.001 * (number + 1))
            worker.tell(aggregator)
        clock.advance(1)
    aggregator.tidy()


def restarted(aggregator: Asking, clock: ManualClock) -> Asking:
    """Return another aggregator that begins with what this one has kept, and hears the same workers."""
    return restored(encode(aggregator), clock, aggregator)


def restored(kept: bytes, clock: ManualClock, aggregator: Asking) -> Asking:
    """Return an aggregator that begins with what was kept."""
    other = Asking(clock, by_worker=aggregator.by_worker)
    other.known = aggregator.known
    fill(other, decode(kept))
    return other


def without_gauges(registry: Asking) -> Dict[str, Any]:
    """Return the statistics that are kept."""
    stats = stats_of(registry)
    stats.pop("level", None)
    return stats


def assert_same(one: Asking, other: Asking, clock: ManualClock) -> None:
    """Check that two aggregators show the same, but for gauges."""
    now = clock.monotonic()
    assert_alike(without_gauges(one), without_gauges(other))
    assert buckets_of(one, now) == buckets_of(other, now)


@pytest.mark.parametrize("seconds", [1, 70, 320, 900])
def test_what_was_kept_is_shown_again(seconds: int) -> None:
    """Totals, windows and rates, of workers that live and of those that are gone."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(3)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, seconds)
    workers[0].tell(aggregator, flags=LEAVING | ENDING)
    clock.advance(3)
    aggregator.tidy()
    assert len(aggregator.workers) == 2

    other = restarted(aggregator, clock)

    assert_same(other, aggregator, clock)
    clock.advance(100)
    assert_same(other, aggregator, clock)
    assert_same(restarted(restarted(other, clock), clock), aggregator, clock)


@pytest.mark.parametrize("away", [0, 30, 100, 1000])
@pytest.mark.parametrize("seconds", [1, 70, 400])
def test_workers_that_live_tell_everything_again(seconds: int, away: int) -> None:
    """What they tell takes the place of what was kept of them. Nothing is lost, nothing counted twice."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(3)]
    aggregator = Asking(clock, workers)
    for second in range(seconds):
        work(clock, workers, aggregator, 1)
        if second == 40:
            aggregator.retire(aggregator.workers[workers.pop().identity])
    other = restarted(aggregator, clock)
    nobody = Asking(clock, workers)
    nobody.ask = lambda worker: None
    work(clock, workers, nobody, away)
    for worker in workers:
        worker.publisher.begin()
    work(clock, workers, other, 60)

    each, gone = seconds + away + 60, 41 if seconds > 40 else 0
    stats = other.get_stats()
    assert stats.hits["count"] == sum(each * (worker.hello.pid + 1) for worker in workers) + 3 * gone
    assert stats.time["count"] == stats.spread["count"] == each * len(workers) + gone
    assert stats.orders["of=shop"].value == stats.spread["count"] << 60
    assert told(other)["bad_frames"] == 0


def test_a_worker_is_asked_to_begin_anew(machine: Machine) -> None:
    """One that goes on with its session, as after a moment without an aggregator, is asked for everything."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 20)
    other = restarted(aggregator, clock)
    work(clock, workers, other, 5)

    assert other.asked == workers
    assert_same(other, restarted(other, clock), clock)
    assert other.get_stats().hits["count"] == 25
    assert other.get_stats().level.value == 4


def test_what_is_shown_does_not_go_back_meanwhile() -> None:
    """Before the workers have told anything, their share is what it was."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(2)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 100)
    other = restarted(aggregator, clock)
    shown = [other.get_stats().spread["count"]]
    for worker in workers:
        worker.publisher.begin()
        worker.tell(other)
        shown.append(other.get_stats().spread["count"])

    assert shown == [200, 200, 200]


def test_a_worker_that_has_died_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept of it stays in the totals."""
    dead: Set[int] = set()
    monkeypatch.setattr(presence, "is_alive", lambda pid, since: pid not in dead)
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid, processes=processes()) for pid in (1, 2)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 100)
    before = without_gauges(aggregator)
    other = restarted(aggregator, clock)
    dead.add(1)
    clock.advance(2.5)
    other.tidy()

    assert list(other.workers) == [workers[1].identity]
    assert_alike(without_gauges(other)["spread"], before["spread"])
    assert other.get_stats().hits["count"] == 300
    workers[1].publisher.begin()
    workers[1].tell(other)
    assert other.get_stats().hits["count"] == 300
    assert other.get_stats().level.value == 99


def test_a_worker_that_had_gone_before_is_not_counted_again() -> None:
    """What comes of it after the restart, late or repeated, is known already."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in (1, 2)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 10)
    workers[0].publisher.begin()
    sent = workers[0].tell(aggregator, flags=LEAVING | ENDING)
    clock.advance(3)
    aggregator.tidy()
    other = restarted(aggregator, clock)
    apply(other, sent)
    workers[0].publisher.begin()
    workers[0].tell(other)

    assert other.get_stats().hits["count"] == 10 + 20
    assert_same(other, aggregator, clock)


def test_a_series_that_a_worker_has_removed_meanwhile() -> None:
    """It goes when the worker has told everything again."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 5)
    other = restarted(aggregator, clock)
    workers[0].registry.remove("hits")
    workers[0].publisher.begin()
    workers[0].tell(other)

    assert set(without_gauges(other)) == {"orders", "balance", "spread", "time"}


@pytest.mark.parametrize("boots", [1, 2])
def test_after_a_reboot_the_totals_are_the_same(machine: Machine, boots: int) -> None:
    """The workers of the machine are gone, what they have counted stays; windows and rates begin anew."""
    clock = ManualClock(8_640_000.0)
    workers = [Simulated(clock, pid) for pid in range(3)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 500)
    before, buckets = without_gauges(aggregator), buckets_of(aggregator, clock.monotonic())
    for boot in range(boots):
        kept = encode(aggregator)
        machine(f"boot {boot}")
        clock = ManualClock(30.0)
        aggregator = restored(kept, clock, aggregator)

    assert aggregator.workers == {}
    after = without_gauges(aggregator)
    assert buckets_of(aggregator, clock.monotonic()) == buckets
    for name in ("orders", "balance"):
        assert_alike(after[name], before[name])
    for name in ("hits", "time", "spread"):
        for key in after[name]:
            assert_alike(after[name][key], before[name][key] if key in ("count", "sum") else 0.0, key)


def test_after_a_reboot_the_windows_are_those_of_new_values(machine: Machine) -> None:
    """What is recorded then is shown as if nothing had been there before, but for the totals."""
    old = ManualClock(8_640_000.0)
    workers = [Simulated(old, pid) for pid in range(3)]
    aggregator = Asking(old, workers)
    work(old, workers, aggregator, 500)
    kept = encode(aggregator)
    machine("another boot")
    clock = ManualClock(30.0)
    other = restored(kept, clock, aggregator)
    workers = [Simulated(clock, pid, machine="another boot") for pid in range(2)]
    for worker in workers:
        other.introduce(worker)
    work(clock, workers, other, 400)
    fresh = Asking(clock)
    for worker in workers:
        Simulated(clock, registry=worker.registry, machine="another boot").tell(fresh)

    for name in ("hits", "time", "spread"):
        found, wanted = stats_of(other)[name], stats_of(fresh)[name]
        for key in wanted:
            if key not in ("count", "sum"):
                assert_alike(found[key], wanted[key], key)
            else:
                assert found[key] > wanted[key]
    clock.advance(361)
    assert other.get_stats().spread.max == 0


@pytest.mark.parametrize("heard", [True, False])
def test_workers_of_another_machine_that_live_on_after_a_reboot(machine: Machine, heard: bool) -> None:
    """They tell everything again, and the windows are right; one that is not heard of spoils nothing."""
    clock = ManualClock(8_640_000.0)
    there = OtherClock(clock, 3e6)
    workers = [Simulated(clock, 1), Simulated(there, 2, machine="other")]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 100)
    kept = encode(aggregator)
    machine("another boot")
    now = ManualClock(30.0)
    other = restored(kept, now, aggregator)
    local = other.introduce(Simulated(now, 3, machine="another boot"))
    for _ in range(120):
        local.registry.histogram("spread").update(100_000.0)
        local.registry.timer("time").update(100_000.0)
        local.tell(other)
        if heard:
            workers[1].registry.histogram("spread").update(200_000.0)
            workers[1].tell(other)
        now.advance(1)
        clock.advance(1)
    other.tidy()

    stats = other.get_stats()
    assert stats.spread["count"] == 200 + 120 + (120 if heard else 0)
    assert stats.spread.max == (200_000.0 if heard else 100_000.0)
    assert stats.time.max == 100_000.0
    assert stats.time.m1 > 0.5
    assert stats.hits["count"] == 300
    now.advance(361)
    assert other.get_stats().spread.max == other.get_stats().time.max == 0


def test_gauges_are_not_kept() -> None:
    """A value is that of a worker that lives, which tells it again."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 3)

    assert "level" not in stats_of(restarted(aggregator, clock))


def test_what_was_said_of_names_is_kept() -> None:
    """For the series that are. Of gauges it comes again with the workers that have them."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    for name, kind in (("hits", "meter"), ("level", "gauge")):
        getattr(workers[0].registry, kind)(name, description=f"The {name}.", unit="things")
    work(clock, workers, aggregator, 3)
    other = restarted(aggregator, clock)
    assert other.all_facts() == {"hits": Facts("The hits.", "things")}
    workers[0].publisher.begin()
    workers[0].tell(other)

    assert other.all_facts() == workers[0].registry.all_facts()
    assert restarted(restarted(other, clock), clock).all_facts() == {"hits": Facts("The hits.", "things")}


def test_what_cannot_be_said_of_names_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """And all else is read."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    for name in ("hits", "orders"):
        workers[0].registry.meter(name, description=f"The {name}.").mark()
    workers[0].tell(aggregator)
    content = encode(aggregator).replace(b"The hits.", b"The\nhits.")
    content = content[:12] + crc32(content[16:]).to_bytes(4, "little") + content[16:]
    other = restored(content, clock, aggregator)

    assert other.all_facts() == {"orders": Facts("The orders.", "")}
    assert other.get_stats().hits["count"] == 1
    assert "has 1 series or workers that cannot be: they are left out." in caplog.text


def test_the_series_of_each_worker_are_not_kept() -> None:
    """They are shown again when the worker tells them."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in (7, 8)]
    aggregator = Asking(clock, workers, by_worker=True)
    work(clock, workers, aggregator, 3)
    other = restarted(aggregator, clock)
    assert "worker=here:7" not in stats_of(other)["hits"]
    workers[0].publisher.begin()
    workers[0].tell(other)

    hits = stats_of(other)["hits"]
    assert (hits["count"], hits["worker=here:7"]["count"]) == (9, 3)
    assert "worker=here:8" not in hits


def test_the_identity_of_the_registry_is_kept() -> None:
    """To another aggregator it is the same as before the restart."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in (7, 8)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 1)

    assert restarted(aggregator, clock).identity == aggregator.identity
    assert Asking(clock).identity != aggregator.identity


def test_an_aggregator_among_the_workers() -> None:
    """At a site: what the aggregators of its hosts have told is kept as that of any worker, and told again."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(2)]
    host = Asking(clock, workers)
    up = Simulated(clock, registry=host, settles=False, identity=b"one aggregator's")
    site = Asking(clock, [up])
    for _ in range(130):
        work(clock, workers, host, 1)
        up.tell(site)
    other = restarted(site, clock)
    assert_same(other, site, clock)
    up.publisher.begin()
    for _ in range(30):
        work(clock, workers, host, 1)
        up.tell(other)

    assert_same(other, host, clock)


def test_nothing_is_kept_of_nothing() -> None:
    """An aggregator that has heard nothing has little to keep."""
    clock = ManualClock(1000.0)

    other = restarted(Asking(clock), clock)

    assert (stats_of(other), other.workers) == ({}, {})


def test_what_is_kept_does_not_grow_with_the_workers_that_ever_were() -> None:
    """Nor with the values that were recorded."""
    clock = ManualClock(1000.0)
    aggregator = Asking(clock)
    sizes = []
    for pid in range(600):
        worker = aggregator.introduce(Simulated(clock, pid))
        work(clock, [worker], aggregator, 1)
        worker.tell(aggregator, flags=LEAVING | ENDING)
        clock.advance(2.5)
        aggregator.tidy()
        sizes.append(len(encode(aggregator)))

    assert sizes[-1] <= max(sizes[:200]) * 1.1


# The content of the file.


def content() -> bytes:
    """Return what is kept of some workers."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock, pid) for pid in range(3)]
    aggregator = Asking(clock, workers)
    work(clock, workers, aggregator, 60)
    aggregator.retire(aggregator.workers[workers[0].identity])
    return encode(aggregator)


def test_every_cut_is_noticed() -> None:
    """A file of which only the beginning is there is a FrameError, wherever it is cut off."""
    whole = content()
    for length in range(len(whole)):
        with pytest.raises(FrameError):
            decode(whole[:length])
    with pytest.raises(FrameError):
        decode(whole + b"\0")


def test_every_bit_that_is_wrong_is_noticed() -> None:
    """A file with one bit that is another is a FrameError, whichever it is."""
    whole = content()
    for place in range(len(whole)):
        for bit in (1, 16, 128):
            wrong = bytearray(whole)
            wrong[place] ^= bit
            with pytest.raises(FrameError):
                decode(bytes(wrong))


def test_what_is_wrong_is_said() -> None:
    """Another file, another version, a file that is damaged."""
    whole = content()
    with pytest.raises(FrameError, match="no state of an aggregator"):
        decode(b"[reporters]\nport = 8889\n" * 10)
    with pytest.raises(FrameError, match="version 2, and this reads version 1"):
        decode(whole[:11] + b"\2" + whole[12:])
    with pytest.raises(FrameError, match="damaged"):
        decode(whole[:-1] + b"\xff")


# The file.


def test_the_file_is_written_and_read_again(tmp_path: Path) -> None:
    """A keeper restores what another one has kept. The file is private."""
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    keeper = Keeper(tmp_path / "metrics.state")
    assert not keeper.restore(aggregator)
    work(clock, workers, aggregator, 10)
    assert keeper.keep(aggregator)
    other = Asking(clock)

    assert Keeper(str(tmp_path / "metrics.state")).restore(other)
    assert_same(other, aggregator, clock)
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


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It is said at the start, and not when there is something to lose."""
    with pytest.raises(ReporterError, match="cannot be written: No such file or directory"):
        Keeper(tmp_path / "no" / "metrics.state").restore(Asking(ManualClock()))
    with pytest.raises(ReporterError, match="cannot be read: it is a folder"):
        Keeper(tmp_path).restore(Asking(ManualClock()))


def test_a_folder_that_cannot_be_read_is_none_without_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an aggregator would begin from zero, and replace the state that it has not seen."""
    path = tmp_path / "metrics.state"
    Keeper(path).keep(Asking(ManualClock()))
    before = path.read_bytes()

    def newest(state: str) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), state)

    with monkeypatch.context() as patched:
        patched.setattr("tapes.distributed.journal.newest", newest)
        with pytest.raises(ReporterError, match=r"the folder of .* cannot be read: Permission denied"):
            Keeper(path).restore(Asking(ManualClock()))

    assert path.read_bytes() == before


def test_what_cannot_be_written_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that is full does not end the aggregator, the old file stays, and is replaced when it can be."""
    caplog.set_level(logging.INFO)
    clock = ManualClock(1000.0)
    workers = [Simulated(clock)]
    aggregator = Asking(clock, workers)
    keeper = Keeper(tmp_path / "metrics.state")
    keeper.restore(aggregator)
    before = (tmp_path / "metrics.state").read_bytes()
    work(clock, workers, aggregator, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert [keeper.keep(aggregator) for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text
    assert (tmp_path / "metrics.state").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.state", "metrics.state.journal-1"]
    assert keeper.keep(aggregator)
    assert len(caplog.records) == 2

    assert (tmp_path / "metrics.state").read_bytes() != before


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_kept(kind: str) -> None:
    """With numbers of any size, and names of any kind."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    metric = getattr(worker.registry, kind)("naïve \ud800 name", tags={"clé": "\udfff", "k": ""})
    for value in (1, 3, 1 << 62):
        getattr(metric, {"counter": "increment", "meter": "mark"}.get(kind, "update"))(value)
    aggregator = Asking(clock, [worker])
    worker.tell(aggregator)

    assert_same(restarted(aggregator, clock), aggregator, clock)
    assert worker.hello.machine == HERE
