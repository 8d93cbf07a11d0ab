"""What comes after the state was written is in a journal beside it, and to keep it costs what it is."""

from __future__ import annotations

import logging
import math
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from tapes.distributed import keeper, state_format
from tapes.distributed.frames import ENDING, LEAVING
from tapes.distributed.keeper import Keeper
from tests.distributed.simulated import Asking, Bench, assert_alike, buckets_of, record, stats_of, told
from tests.servers.processes import PATIENCE

FULL = OSError(28, "No space left on device")
TIMES = (math.nan, math.inf, -math.inf)

Damage = Callable[[bytes], bytes]


class Place(Bench):
    """An aggregator with a state, and its workers."""

    def __init__(self, folder: Path) -> None:
        """Begin with three workers, and with a state in this folder."""
        super().__init__(0, 1, 2)
        self.folder = folder
        self.keeper = Keeper(folder / "state")
        self.keeper.restore(self.aggregator)

    def tell(self, *numbers: int, flags: int = 0) -> None:
        """Let workers tell, all unless told, and keep it."""
        for number in numbers or range(len(self.workers)):
            for frame in self.workers[number].frames(flags):
                if self.aggregator.apply(frame):
                    self.keeper.add_frame(self.aggregator, frame)
            self.keeper.flush()

    def work(self, seconds: int, *, telling: bool = True) -> None:
        """Record for some time, to series as well that come and go, and tell it."""
        for second in range(seconds):
            for number, worker in enumerate(self.workers):
                record(worker, "counter", name=f"lives.{(second + number) % 7}")
                if second % 5 == number:
                    worker.registry.remove(f"lives.{second % 7}")
            super().work(1, telling=telling)

    @property
    def journal(self) -> Path:
        """The newest journal."""
        return self.folder / self.files[-1]

    def renew(self, due: float = 0.0) -> None:
        """Write the state as it is written now and then."""
        self.keeper._next = due
        self.keeper.keep_when_due(self.aggregator)
        if self.keeper._writing is not None:
            self.keeper._writing.join()

    def killed(self) -> Asking:
        """Return another aggregator that begins with the files, as after this one was killed."""
        other = Asking(self.clock, self.workers)
        assert Keeper(self.folder / "state").read(other)
        return other

    @property
    def files(self) -> List[str]:
        """The names of all files."""
        return sorted(os.listdir(self.folder))

    def shown(self) -> Dict[str, Any]:
        """Return what is shown, without gauges."""
        stats = stats_of(self.aggregator)
        stats.pop("level", None)
        return stats

    def assert_kept(self) -> None:
        """Check that an aggregator that begins now shows the same, but for gauges."""
        other, now = self.killed(), self.clock.monotonic()

        assert_alike(stats_of(other), self.shown())
        assert buckets_of(other, now) == buckets_of(self.aggregator, now)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Provide an aggregator with a state."""
    return Place(tmp_path)


@pytest.mark.parametrize("seconds", [1, 70, 200])
def test_all_that_was_taken_in_is_known_after_a_restart(place: Place, seconds: int) -> None:
    """Though the state has not been written since, in the middle of sessions, and of minutes."""
    place.work(seconds)
    place.assert_kept()
    place.renew()
    place.work(seconds)
    place.assert_kept()
    place.workers[0].publisher.begin()
    place.work(3)

    place.assert_kept()


def test_what_a_worker_says_after_it_was_taken_to_be_gone_is_not_kept(place: Place) -> None:
    """It tells that again as another worker, and after a restart both are known."""
    record(place.workers[0], "counter", 10)
    place.tell(0)
    place.give_up(0)
    record(place.workers[0], "counter", 5)
    place.tell(0)
    place.tell(0)

    assert place.stats.counter.value == 15
    assert place.killed().get_stats().counter.value == 15


def test_a_worker_that_leaves_costs_what_it_tells(place: Place) -> None:
    """The state is not written for it, and the journal grows by its last frames; after a restart all of it is known."""
    for number in range(700):
        record(place.workers[0], "timer", number, f"time.{number}")
    place.tell(0)
    place.renew()
    state = (place.folder / "state").stat()
    record(place.workers[1], "counter", 7)
    place.tell(1, flags=LEAVING | ENDING)

    assert place.aggregator.confirmed == [place.workers[1]]
    assert os.path.samestat((place.folder / "state").stat(), state)
    assert place.journal.stat().st_size < 500 < state.st_size / 100
    assert place.killed().get_stats().counter.value == 7


def of_time(time: float) -> Damage:
    """Return what gives an entry another time."""
    return lambda entry: struct.pack("<d", time) + entry[8:]


@pytest.mark.parametrize(
    "damage",
    [lambda entry: entry[:1], lambda entry: entry[:9], lambda entry: entry[:60], *map(of_time, TIMES)],
    ids=["cut in its time", "cut in its length", "cut in its frame", *map(str, TIMES)],
)
def test_what_is_damaged_of_a_journal_is_left_out(
    place: Place, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """With all that comes after it, and the log says so. All before it is known. Workers that live tell it again."""
    place.work(5)
    shown, end = place.shown(), place.journal.stat().st_size
    place.work(1)
    content = place.journal.read_bytes()
    content = content[:end] + damage(content[end:])
    place.journal.write_bytes(content)
    other = place.killed()
    known = stats_of(other)
    place.begin()
    for worker in place.workers:
        worker.tell(other)

    assert_alike(known, shown)
    for name in ("hits", "spread", "time"):
        assert other.get_stats()[name]["count"] == place.stats[name]["count"]
    assert told(other)["bad_frames"] == len(caplog.records) == 1
    assert f"The last {len(content) - end} bytes of the journal" in caplog.text


@pytest.mark.parametrize("damage", [lambda content: content[:5], lambda content: b"T" + content[1:]], ids=["cut", "no"])
def test_what_is_no_journal_is_left_out(place: Place, damage: Damage, caplog: pytest.LogCaptureFixture) -> None:
    """All of it, and the log says how much that is; what is in the state is known."""
    place.work(5)
    shown = place.shown()
    place.renew()
    place.work(1)
    content = damage(place.journal.read_bytes())
    place.journal.write_bytes(content)
    other = place.killed()

    assert_alike(stats_of(other), shown)
    assert told(other)["bad_frames"] == 1
    assert f"The last {len(content)} bytes of the journal" in caplog.text
    assert "are damaged or were not written to the end" in caplog.text


def test_a_state_that_was_not_put_in_its_place_is_not_missed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was begun, with another journal, when everything ended: the old state goes on in both, to the last frame."""
    place.work(5)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", raising)
        for _ in range(2):
            record(place.workers[0], "counter")
            for frame in place.workers[0].frames():
                place.aggregator.apply(frame)
                place.keeper.add_frame(place.aggregator, frame)
            place.renew()
            place.work(5)

    assert place.files == ["state", *(f"state.journal-{number}" for number in (1, 2, 3))]
    place.assert_kept()
    place.renew()
    assert place.files == ["state", "state.journal-4"]
    place.assert_kept()


def test_older_journals_are_not_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was not removed is part of the state already, workers that nobody remembers any more included."""
    monkeypatch.setattr(state_format, "_GONE", 0)
    place.work(5)
    place.tell(2, flags=LEAVING | ENDING)
    place.give_up(2)
    place.workers.pop()
    old = place.journal
    content = old.read_bytes()
    place.renew()
    old.write_bytes(content)
    place.work(5)

    place.assert_kept()


def test_an_end_in_good_order_leaves_the_state_alone(place: Place) -> None:
    """There is nothing to go on with."""
    place.work(5)
    place.keeper.keep(place.aggregator)

    assert place.files == ["state"]
    place.assert_kept()


def test_a_large_state_is_not_written_at_the_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known from the one before, and from the journal."""
    monkeypatch.setattr(keeper, "_LONG", 0.0)
    place.work(5)
    place.renew()
    state = (place.folder / "state").read_bytes()
    place.work(5)

    assert place.keeper.keep(place.aggregator)
    assert (place.folder / "state").read_bytes() == state
    assert place.files == ["state", "state.journal-2"]
    place.assert_kept()


def test_a_state_that_is_being_written_at_the_end_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is written once more, with all that came meanwhile."""
    monkeypatch.setattr(keeper, "_INTERVAL", PATIENCE)
    monkeypatch.setattr(keeper, "_LONG", math.inf)
    ends, fsync = threading.Event(), os.fsync
    place.work(5)

    def force(file: int) -> None:
        if threading.current_thread() is place.keeper._writing:
            ends.wait(PATIENCE)
            time.sleep(0.1)  # for a keeper that does not wait
        fsync(file)

    monkeypatch.setattr(os, "fsync", force)
    place.keeper._next = 0.0
    place.keeper.keep_when_due(place.aggregator)
    place.work(1)
    ends.set()

    assert place.keeper.keep(place.aggregator)
    assert place.files == ["state"]
    place.assert_kept()


def test_a_state_that_comes_too_late_is_in_nobodys_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator that ends does not wait for it for ever, and another one may be writing its own by then."""
    monkeypatch.setattr(keeper, "_INTERVAL", 0.0)
    is_late, goes_on, fsync = threading.Event(), threading.Event(), os.fsync
    place.work(5)

    def force(file: int) -> None:
        if threading.current_thread() is place.keeper._writing:
            is_late.set()
            goes_on.wait(PATIENCE)
        elif is_late.is_set():
            goes_on.set()
            assert place.keeper._writing is not None
            place.keeper._writing.join(PATIENCE)
        fsync(file)

    monkeypatch.setattr(os, "fsync", force)
    place.keeper._next = 0.0
    place.keeper.keep_when_due(place.aggregator)
    assert is_late.wait(PATIENCE)
    assert place.keeper.keep(place.aggregator)
    assert Keeper(place.folder / "state").restore(Asking(place.clock, place.workers))

    assert place.files == ["state", "state.journal-3"]
    place.assert_kept()


def test_a_full_disk_does_not_keep_it_from_starting(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It begins with what was kept, says so in one line, leaves the files alone, and writes when there is room."""
    caplog.set_level(logging.INFO)
    place.work(5)
    before = place.files
    other = Asking(place.clock, place.workers)
    keeper = Keeper(place.folder / "state")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", raising)
        patched.setattr(os, "write", raising)
        assert keeper.restore(other)
        said = list(caplog.messages)
        assert not keeper.flush()
        assert place.files == before
        place.aggregator, place.keeper = other, keeper
        place.renew()

    assert other.get_stats().hits["count"] == 5 * 6
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert said == caplog.messages
    assert "No space left on device. Make room on the disk. It will be tried again." in caplog.text
    place.renew()
    place.assert_kept()
    assert len(caplog.records) == 2


def test_a_disk_that_becomes_full_costs_nothing_that_was_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What could be written of an entry is taken back, and nothing follows where it was: all before stays readable."""
    place.work(5)
    shown = place.shown()
    write = os.write

    def write_half(file: int, content: Any) -> int:
        if len(content) < 10:
            raise FULL
        return write(file, content[: len(content) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_half)
        place.work(3)
    place.work(1)
    other = place.killed()

    assert_alike(stats_of(other), shown)
    assert told(other)["bad_frames"] == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    place.renew()
    place.work(3)
    place.assert_kept()


def test_a_journal_that_could_not_go_on_is_followed_soon(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a state and another journal, however seldom the state is written because that takes long."""
    monkeypatch.setattr(keeper, "_INTERVAL", 0.0)
    place.keeper._next = math.inf
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", raising)
            place.work(1)
        place.renew(math.inf)
        writing = place.keeper._writing
        place.work(1)
        place.renew(math.inf)

        place.assert_kept()
        assert place.keeper._writing is writing, "It is written once."


def test_a_long_journal_is_followed_by_another(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However seldom the state is written because that takes long."""
    place.work(5)
    place.renew(math.inf)
    before = place.files
    monkeypatch.setattr(keeper, "_LONGEST", 1000)
    place.renew(math.inf)

    assert before == ["state", "state.journal-1"]
    assert place.files == ["state", "state.journal-2"]
    place.assert_kept()


def raising(*arguments: object) -> None:
    """Be a disk that is full."""
    raise FULL
