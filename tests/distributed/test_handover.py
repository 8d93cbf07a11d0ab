"""Last reports that no aggregator has confirmed, in files beside its socket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tapes.distributed import files, handover
from tapes.distributed.launcher import Launcher, release_start, start_lock
from tapes.distributed.lifetime import ResidentLifetime
from tapes.distributed.rendezvous import Rendezvous, name_of
from tapes.distributed.resident import _remove_log

WORKERS = [bytes([number]) * 16 for number in range(3)]


@pytest.fixture
def socket(tmp_path: Path) -> str:
    """Return the path of a socket that there is not."""
    return str(tmp_path / "a")


def test_the_frames_of_each_worker_are_read_once(socket: str) -> None:
    """Whatever is in them; one that leaves another report replaces its first."""
    for worker, frames in ((WORKERS[0], [b"old"]), (WORKERS[1], [b"a", b"", b"b" * 70_000]), (WORKERS[0], [b"new"])):
        handover.leave(socket, worker, frames)

    assert list(handover.left(socket)) == [[b"new"], [b"a", b"", b"b" * 70_000]]
    assert list(handover.left(socket)) == []


def test_a_file_that_is_cut_off_ends_with_its_last_whole_frame(socket: str) -> None:
    """As on a full disk of a file system that does not say so."""
    handover.leave(socket, WORKERS[0], [b"whole", b"cut off"])
    (path,) = Path(socket).parent.iterdir()
    path.write_bytes(path.read_bytes()[:-1])

    assert list(handover.left(socket)) == [[b"whole"]]


def test_what_is_old_is_discarded(socket: str) -> None:
    """Nobody has taken the place of the aggregator that it was for."""
    for worker in WORKERS[:2]:
        handover.leave(socket, worker, [worker])
    os.utime(f"{socket}.last-{WORKERS[0].hex()}", (0, 0))
    handover.discard(socket, older=60)

    assert list(handover.left(socket)) == [[WORKERS[1]]]


def test_nothing_is_left_for_an_aggregator_of_another_user(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not read it, and the worker has to say that its report is lost."""
    monkeypatch.setattr(files, "is_foreign", lambda status: True)

    with pytest.raises(PermissionError, match="another user's"):
        handover.leave(socket, WORKERS[0], [b"frame"])
    assert list(Path(socket).parent.iterdir()) == []


def test_there_are_not_too_many(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may be recycled for days while no aggregator starts."""
    monkeypatch.setattr(handover, "_MOST", 2)
    for worker in WORKERS[:2]:
        handover.leave(socket, worker, [worker])

    with pytest.raises(OSError, match="too many"):
        handover.leave(socket, WORKERS[2], [b"frame"])


def test_a_start_that_fails_is_a_fault_and_no_error(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: the thread that publishes goes on, and says why."""

    def fail() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", fail)
    launcher = Launcher(Rendezvous(socket), {}, lambda seconds: None)

    assert not launcher.attend(lambda: False)
    assert launcher.fault == "[Errno 24] Too many open files"


def test_a_config_that_is_edited_is_read_again(tmp_path: Path) -> None:
    """Once for each change. One that is removed changes nothing."""
    config = tmp_path / "tapes.toml"
    config.write_text("[aggregator]\n")
    lifetime = ResidentLifetime(10.0, lambda: True, str(config))
    found = [lifetime.should_reload()]
    config.write_text("[aggregator]\nlinger = 3\n")
    found += [lifetime.should_reload(), lifetime.should_reload()]
    config.unlink()
    found.append(lifetime.should_reload())

    assert found == [False, True, False, False]


def test_a_worker_that_has_come_and_gone_between_two_looks_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The aggregator lingers from then on, as after any other worker."""
    now, arrived = [0.0], [0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lifetime = ResidentLifetime(10.0, lambda: False, None, arrivals=lambda: arrived[0])
    running = []
    for passed, workers in ((9, 1), (9, 1), (9, 1), (2, 0)):
        now[0] += passed
        arrived[0] += workers
        running.append(lifetime.should_run())
    now[0] += 9
    running.append(lifetime.should_run())

    assert running == [True, True, True, True, False]


def test_a_config_has_one_name_whatever_its_link_points_to(tmp_path: Path) -> None:
    """A deploy that changes a link finds the aggregator of the release before."""
    names = []
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "tapes.toml").write_text("[aggregator]\n")
        current = tmp_path / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(release)
        names.append(name_of(str(current / "tapes.toml")))

    assert names[0] == names[1]


def test_the_log_of_another_aggregator_stays(tmp_path: Path) -> None:
    """It has begun there since."""
    log = tmp_path / "log"
    log.write_text("of the next one\n")
    _remove_log(str(log))

    assert log.exists()


def test_a_folder_is_read_again_only_when_it_has_changed(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator looks twice a second, mostly in vain."""
    folder = Path(socket).parent
    left = handover.Left(socket)
    handover.leave(socket, WORKERS[0], [b"first"])
    found = [list(left.take())]
    os.utime(folder, (0, 0))
    read: list[str] = []
    listdir = os.listdir

    def noted(path: str) -> list[str]:
        read.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", noted)
    found += [list(left.take()), list(left.take())]
    assert len(read) == 1
    handover.leave(socket, WORKERS[1], [b"second"])
    found += [list(left.take()), list(left.take())]

    assert found == [[[b"first"]], [], [], [[b"second"]], []]


def test_one_process_at_a_time_starts_an_aggregator(tmp_path: Path) -> None:
    """Until it has released the lock, or for so long that it is taken to have been forgotten."""
    path = tmp_path / "a.start"
    first = start_lock(str(path))
    assert first is not None
    assert start_lock(str(path)) is None
    os.utime(path, (0, 0))
    second = start_lock(str(path))
    assert second is not None
    release_start(first, str(path))
    assert path.exists()  # it is the file of the second by now
    release_start(second, str(path))
    for lock in (first, second):
        os.close(lock)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [20, 102, 103, 107])
def test_a_page_has_a_name_that_the_system_takes(tmp_path: Path, length: int) -> None:
    """However long that of the socket is, which has room for 107 bytes; and each socket has a page of its own."""
    place, other = (Rendezvous("/tmp/" + letter * (length - len("/tmp/"))) for letter in "ab")

    assert len(place.page) <= 107
    assert os.path.dirname(place.page) == "/tmp"
    assert place.page != other.page


def test_an_aggregator_that_had_workers_stays_no_longer_than_it_says() -> None:
    """Also where they came and went between two looks. One that had none waits ten seconds for the first."""
    had: list[str] = []
    lifetime = ResidentLifetime(0.0, lambda: False, None, arrivals=lambda: len(had))
    waits = lifetime.should_run()
    had.append("a worker")

    assert (waits, lifetime.should_run()) == (True, False)
