"""The files of an aggregator where others put things in its way: nothing is followed, overwritten or waited for."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest

from tapes.distributed import files
from tapes.distributed.claims import Claim
from tapes.distributed.keeper import Keeper
from tapes.distributed.receiver import Receiver
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError
from tests.distributed.receiving import at

NOBODY = 65534


@pytest.fixture(autouse=True)
def precious(folder: Path) -> Iterator[None]:
    """Put a file into the folder that must not change."""
    (folder / "precious").write_text("precious")
    yield
    assert (folder / "precious").read_text() == "precious"


def start(folder: Path) -> None:
    """Make use of all the files that an aggregator has there."""
    Claim(at(folder / "a")).release()
    Keeper(folder / "state").restore(UnifiedRegistry())


def listen(path: Path) -> None:
    """Leave a socket behind."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


OBSTACLES: Dict[str, Callable[[Path], object]] = {
    "a symbolic link": lambda path: path.symlink_to("precious"),
    "a dangling symbolic link": lambda path: path.symlink_to("nowhere"),
    "a fifo": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.lock", r"/a\.lock: it is {}.*\. Remove it"),
        ("a", "/a' is {}.*, and no socket"),
        ("state", "/state cannot be read: it is {}"),
    ],
    ids=["lock", "socket", "state"],
)
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_is_in_the_place_of_a_file_is_refused(folder: Path, name: str, message: str, obstacle: str) -> None:
    """The error names it, and says what it is. It is left alone, and no lock is left."""
    OBSTACLES[obstacle](folder / name)

    with pytest.raises((OSError, ReporterError), match=f"{folder}{message.format(obstacle.replace('dangling ', ''))}"):
        start(folder)

    assert sorted(path.name for path in folder.iterdir()) == sorted([name, "precious"])


def test_a_lock_with_another_name_is_refused(folder: Path) -> None:
    """A hard link to a file of this user would be overwritten."""
    os.link(folder / "precious", folder / "a.lock")

    with pytest.raises(OSError, match=r"a\.lock: it has another name"):
        start(folder)


@pytest.mark.parametrize("obstacle", [name for name in OBSTACLES if name != "a folder"])
def test_what_is_in_the_way_of_a_new_state_is_removed(folder: Path, obstacle: str) -> None:
    """Nothing is written through it."""
    OBSTACLES[obstacle](folder / "state.new")

    kept = Keeper(folder / "state").keep(UnifiedRegistry())

    assert kept
    assert sorted(path.name for path in folder.iterdir()) == ["precious", "state"]
    assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o600
    assert not (folder / "state").is_symlink()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.lock", Path.touch, r"a\.lock: it belongs to the user nobody"),
        ("a", listen, "is a socket of the user nobody"),
        ("state", Path.touch, "state cannot be read: it belongs to the user nobody"),
    ],
    ids=["lock", "socket", "state"],
)
def test_files_of_another_user_are_refused(
    folder: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    """They are not used, nor removed, although root could: somebody has put them there, or has an aggregator there."""
    make(folder / name)
    os.chown(folder / name, NOBODY, NOBODY)

    with pytest.raises((OSError, ReporterError), match=message):
        start(folder)

    assert (folder / name).exists()


def test_a_socket_is_private_whatever_the_umask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The umask belongs to all threads of the process: it is neither needed nor changed."""
    masks: List[int] = []
    receiver = Receiver(UnifiedRegistry(), at(folder / "a"))
    mask = os.umask(0)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", masks.append)
            receiver.start()
    finally:
        os.umask(mask)
    mode = stat.S_IMODE((folder / "a").stat().st_mode)
    receiver.stop(5)

    assert mode == 0o600
    assert masks == []


def test_descriptors_do_not_outlive_an_exec(folder: Path) -> None:
    """A program that this one becomes does not hold the lock. Nobody else can read it."""
    file = files.opened(str(folder / "a.lock"), os.O_RDWR | os.O_CREAT)

    assert not os.get_inheritable(file)
    assert stat.S_IMODE(os.fstat(file).st_mode) == 0o600
    os.close(file)


@pytest.mark.parametrize(("mode", "lines"), [(0o700, 0), (0o770, 0), (0o1777, 0), (0o777, 1)])
def test_a_folder_that_everybody_can_change_is_told_of(
    folder: Path, mode: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the sticky bit every user can put an end to the aggregator, by removing its socket."""
    folder.chmod(mode)
    Claim(at(folder / "a")).release()

    assert len(caplog.messages) == lines
    assert all(f"chmod +t {folder}" in message for message in caplog.messages)
