"""Whether a process lives: it does, it does not, or nobody can tell."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from tapes.distributed import processes
from tapes.distributed.processes import is_alive, started

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="This is about the /proc of Linux.")


def test_a_process_lives_that_has_the_number_and_was_started_then() -> None:
    """One that was started at another time has the number of one that has ended; of no known time it may be either."""
    assert started() > 0
    assert [is_alive(os.getpid(), since) for since in (started(), started() - 1, 0)] == [True, False, None]


@pytest.mark.parametrize("is_noted", [False, True], ids=["zombie", "not there"])
def test_a_process_that_has_ended(is_noted: bool) -> None:
    """Whether its parent has taken note of it or not."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if is_noted:
        process.wait()
    found = is_alive(process.pid, 1)
    process.wait()

    assert found is False


@pytest.mark.parametrize("reason", [errno.ENOENT, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ESRCH])
def test_what_cannot_be_looked_at_is_not_known(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    """`/proc` is hidden (`hidepid`), forbidden, or there are no descriptors left: that says nothing of the process."""

    def refused(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    since = started()
    monkeypatch.setattr(processes, "open", refused, raising=False)

    assert is_alive(os.getpid(), since) is None
    assert is_alive(os.getppid(), 1) is None


def test_a_proc_of_other_processes_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may see the `/proc` of its host, in which its numbers are those of others."""
    since = started()
    monkeypatch.setattr(os, "readlink", lambda path: "1")

    assert is_alive(os.getpid(), since) is None


def test_a_process_that_may_not_be_signalled_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of another user."""

    def refused(pid: int, signal: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refused)

    assert is_alive(os.getpid(), started()) is True
    assert is_alive(os.getpid(), started() - 1) is False


@pytest.mark.parametrize("path", ["/proc/self/ns/pid", "/proc/self"])
def test_where_there_is_no_proc_no_set_of_processes_is_known(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Two containers without it are not taken for one."""
    monkeypatch.setattr(os, "readlink", lambda _: (_ for _ in ()).throw(FileNotFoundError(path)))

    assert processes.processes() == ""


def test_a_clock_of_its_own_makes_it_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a time namespace the monotonic clock and the times of starts are others, after the same boot."""
    here = processes.machine()
    monkeypatch.setattr(os, "readlink", lambda path: "time:[4026532222]")

    assert processes.machine() != here
    assert processes.machine().split()[0] == here.split()[0]
