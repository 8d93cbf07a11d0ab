"""Who may connect to the socket of an aggregator: its user, and a group or others if it says so."""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from tapes.distributed.addresses import PRIVATE, Access, access, listening
from tapes.distributed.registry import RegistryAggregator
from tapes.errors import ReporterOptionError
from tapes.testing import MemoryReporter
from tests.distributed.receiving import at

NOBODY = 65534
ADDRESS = at("/run/a")
MINE = os.getegid()


@pytest.mark.parametrize(
    ("group", "mode", "expected"),
    [
        (None, None, PRIVATE),
        (None, 0o600, Access(0o600, None)),
        (None, 0o660, Access(0o660, None)),
        (None, 0o666, Access(0o666, None)),
        (None, 0o777, Access(0o777, None)),
        (MINE, None, Access(0o660, MINE)),
        (grp.getgrgid(MINE).gr_name, None, Access(0o660, MINE)),
        (MINE, 0o666, Access(0o666, MINE)),
    ],
)
def test_who_may_connect(group: Any, mode: Any, expected: Access) -> None:
    """The user alone, unless there is a group or a mode."""
    assert access(ADDRESS, group, mode) == expected


@pytest.mark.parametrize(
    ("group", "mode", "message"),
    [
        ("no such group", None, "this system has no group 'no such group': make it, or name one"),
        (-1, None, "this system has no group -1"),
        (1 << 70, None, "this system has no group"),
        ("a\0b", None, "this system has no group"),
        (True, None, "the name or the number of a group, not True"),
        (1.5, None, "the name or the number of a group, not 1.5"),
        (None, 0o400, "like 0o660, not 0o400"),
        (None, 0o060, "like 0o660, not 0o60"),
        (None, 660, "like 0o660, not 0o1224"),
        (None, -1, "like 0o660, not -0o1"),
        (None, True, "like 0o660, not True"),
        (None, "0660", "like 0o660, not '0660'"),
        (None, 0o640, "0o640 does not let the group write"),
        (None, 0o664, "0o664 does not let the others write"),
        (MINE, 0o600, "0o600 does not let the group .* write: use 0o660"),
    ],
)
def test_what_cannot_be(group: Any, mode: Any, message: str) -> None:
    """The error shows the value, and what could be instead."""
    with pytest.raises(ReporterOptionError, match=message):
        RegistryAggregator(MemoryReporter(1), "ipc://a", group=group, mode=mode)


@pytest.mark.parametrize("options", [{"group": MINE}, {"mode": 0o660}])
def test_a_port_has_no_group(options: Any) -> None:
    """Who may connect there is a matter of keys."""
    with pytest.raises(ReporterOptionError, match=r"not for tcp://127\.0\.0\.1:5550"):
        RegistryAggregator(MemoryReporter(1), "tcp://127.0.0.1:5550", insecure=True, **options)


def error_of_nobody(group: int, action: Callable[[], object]) -> str:
    """Return the error that an action raises in a process of the user nobody with one group; "" if there is none."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(NOBODY)
            action()
        except (OSError, ReporterOptionError) as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.usefixtures("root")
def test_a_group_of_others_is_refused() -> None:
    """The system lets nobody give files to a group that he is not in: the error says so when it is made."""
    assert "'nobody' is not in the group 0" in error_of_nobody(NOBODY, lambda: access(ADDRESS, 0, None))


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("mask", [0, 0o077])
def test_the_file_lets_in_whom_it_says(folder: Path, mask: int) -> None:
    """The group and nobody else, whatever the umask is."""
    path = str(folder / "a")
    folder.chmod(0o755)
    before = os.umask(mask)
    try:
        file = listening(path, Access(0o660, NOBODY))
    finally:
        os.umask(before)
    status = os.stat(path)
    with socket.socket(socket.AF_UNIX) as client:
        errors = [error_of_nobody(group, lambda: client.connect(path)) for group in (NOBODY, NOBODY - 1)]
    os.close(file)

    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, NOBODY)
    assert errors == ["", "[Errno 13] Permission denied"]


def test_what_somebody_puts_in_its_place_is_not_shared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write to the folder might replace the socket by a link just before it gets its group."""
    precious = folder / "precious"
    precious.touch(0o600)

    class Replaced(socket.socket):
        """A socket that somebody replaces when it is bound."""

        def bind(self, address: Any) -> None:
            """Bind it, and replace it."""
            super().bind(address)
            os.unlink(address)
            os.symlink(precious, address)

    monkeypatch.setattr(socket, "socket", Replaced)
    with pytest.raises(OSError, match="another process has replaced the socket"):
        listening(str(folder / "a"), Access(0o666))

    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


def test_a_system_without_proc_has_sockets_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a chroot, where no descriptor has a path."""
    look = os.stat

    def see(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(path)
        return look(path, **options)

    monkeypatch.setattr(os, "stat", see)
    file = listening(str(folder / "a"), Access(0o660, MINE))
    status = look(folder / "a")
    os.close(file)

    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, MINE)
