"""What the lock of an aggregator says of who has it, and when that one is waited for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from tapes.distributed import claims, succession
from tapes.distributed.addresses import Address, checked
from tapes.distributed.claims import FileLock, Holder, Program, TakenError
from tapes.distributed.processes import processes, started
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError
from tests.servers.processes import PATIENCE

HERE = processes()
ME = os.getpid()
OTHER = os.getppid()
UNUSED = (1 << 22) + 1  # above all numbers that processes have

HOLD = """
import sys
from tapes.distributed.addresses import checked
from tapes.distributed.claims import Claim, Program
claim = Claim(checked(sys.argv[1], keys=None, insecure=False), Program(*map(int, sys.argv[2:]), frozenset()))
print("claimed", flush=True)
for line in sys.stdin:
    getattr(claim, line.strip())()
    print("done", flush=True)
"""


@pytest.fixture
def address() -> Iterator[Address]:
    """Return an address in a folder of its own."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="tz"))
    try:
        yield checked(f"ipc://{folder}/a", keys=None, insecure=False)
    finally:
        shutil.rmtree(folder)


class Other:
    """A process that has the address, for some program."""

    def __init__(self, address: Address, program: Program) -> None:
        """Start it, and return when it has claimed it."""
        arguments = map(str, (program.pid, program.since))
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, address.text, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        )
        self._hear()

    def tell(self, what: str) -> None:
        """Let it do something with its claim."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self._hear()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline()


Start = Callable[[Program], Other]


@pytest.fixture
def other(address: Address) -> Iterator[Start]:
    """Return what starts a process that claims the address."""
    others: List[Other] = []

    def start(program: Program) -> Other:
        others.append(Other(address, program))
        return others[-1]

    yield start
    for each in others:
        each.process.kill()
        each.process.communicate()


@pytest.fixture
def gone() -> Program:
    """Return a program that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return Program(process.pid, 0, frozenset())


class Waiting:
    """What is asked while an address is waited for: whether to go on, and what is told."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        """Make one of these steps at each look, and give up after the last."""
        self._steps = list(steps)
        self.stands_by = 0

    def wanted(self) -> bool:
        """Whether to go on."""
        if self._steps:
            self._steps.pop(0)()
            return True
        return False

    def stand_by(self) -> None:
        """Take note that it stands by."""
        self.stands_by += 1


def nothing() -> None:
    """Let a moment pass."""


@pytest.mark.parametrize(
    ("holder", "leaving", "goes_on", "belongs", "left_over"),
    [
        (Holder(1, 0, 0, HERE), True, False, False, False),
        (Holder(1, 0, 0, "another namespace"), True, False, False, False),
        (Holder(1, ME, started(), HERE), False, True, True, True),
        (Holder(ME, ME, started(), HERE), False, True, True, False),
        (Holder(7, ME, started(), HERE), False, True, True, False),
        (Holder(1, ME, started(), "another namespace"), False, False, False, False),
        (Holder(1, ME, started() + 1, HERE), True, False, False, False),
        (Holder(1, UNUSED, 0, HERE), True, False, False, False),
        (Holder(1, UNUSED, 0, "another namespace"), False, False, False, False),
        (Holder(1, OTHER, 0, HERE), False, False, True, False),
        (Holder(1, 1, 0, HERE), False, False, False, False),
    ],
    ids=[
        "leaves",
        "leaves in another container",
        "of what this process was before",
        "in this process",
        "forked by this process",
        "the same number in another container",
        "of a process that had the same number",
        "of a process that is gone",
        "a number that only another container has",
        "of the parent",
        "of somebody else",
    ],
)
def test_whose_an_aggregator_is(holder: Holder, leaving: bool, goes_on: bool, belongs: bool, left_over: bool) -> None:
    """Numbers of processes count where they mean the same, and when they are the same process."""
    program = Program(ME, started(), frozenset([OTHER]), frozenset([7]))

    assert (holder.is_leaving, holder.goes_on) == (leaving, goes_on)
    assert (holder.belongs_to(program), holder.is_left_over(program)) == (belongs, left_over)


def test_an_address_that_nobody_has_is_claimed_at_once(address: Address) -> None:
    """Nobody is told anything."""
    waiting = Waiting(nothing)
    claim = succession.claimed(address, Program.here(), waiting.wanted, waiting.stand_by)

    assert claim is not None
    assert waiting.stands_by == 0
    assert not claim.is_awaited
    claim.release()


def test_an_aggregator_of_a_different_program_is_not_waited_for(address: Address, other: Start) -> None:
    """As long as that program is there, the second one is refused, with the process that is in its way."""
    with subprocess.Popen(["sleep", str(PATIENCE)]) as program:
        stat = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
        first = other(Program(program.pid, int(stat[19]), frozenset()))
        waiting = Waiting(nothing, nothing)
        try:
            with pytest.raises(ReporterError, match=rf"an aggregator \(process {first.process.pid}\) at {address}"):
                succession.claimed(address, Program.here(), waiting.wanted, waiting.stand_by)
        finally:
            program.kill()

    assert waiting.stands_by == 0


def test_one_whose_program_is_not_known_to_be_there_may_say_that_it_leaves(
    address: Address, other: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a moment for that, and is refused if it does not."""
    monkeypatch.setattr(succession, "_UNKNOWN", 0.2)
    first = other(Program(1, 0, frozenset()))

    with pytest.raises(ReporterError, match=str(first.process.pid)):
        succession.claimed(address, Program.here(), Waiting(*[nothing] * 1000).wanted, nothing)
    monkeypatch.setattr(succession, "_UNKNOWN", PATIENCE)
    waiting = Waiting(
        nothing,
        lambda: first.tell("leave"),
        lambda: monkeypatch.setattr(succession, "_UNKNOWN", 0.0),
        nothing,
        lambda: first.tell("release"),
        nothing,
    )
    claim = succession.claimed(address, Program.here(), waiting.wanted, waiting.stand_by)

    assert claim is not None
    assert waiting.stands_by == 0
    claim.release()


def test_one_whose_program_is_gone_is_waited_for(address: Address, other: Start, gone: Program) -> None:
    """Also before it has noticed that itself; it knows that somebody waits."""
    first = other(gone)
    waiting = Waiting(nothing, nothing, lambda: first.tell("release"), nothing)

    claim = succession.claimed(address, Program.here(), waiting.wanted, waiting.stand_by)

    assert claim is not None
    assert address.path is not None
    assert waiting.stands_by == 0
    assert claims.is_awaited(address.path), "workers wait for it until it is there"
    claim.settle()
    assert not claims.is_awaited(address.path)
    claim.release()
    assert os.listdir(os.path.dirname(address.path)) == []


def test_a_turn_whose_holder_was_killed_is_nobody_s(address: Address) -> None:
    """Its file is removed, and workers do not wait."""
    assert address.path is not None
    Path(claims.next_lock(address.path)).write_text("12345 1 0 x\n")

    assert not claims.is_awaited(address.path)
    assert not os.path.exists(claims.next_lock(address.path))


def test_one_that_takes_long_to_leave_keeps_nobody_from_starting(
    address: Address, other: Start, gone: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds it is said once that this one stands by, whose turn comes all the same."""
    monkeypatch.setattr(succession, "_LEAVING", 0.0)
    first = other(gone)
    waiting = Waiting(nothing, nothing, nothing, first.process.kill, first.process.wait, nothing)

    claim = succession.claimed(address, Program.here(), waiting.wanted, waiting.stand_by)

    assert claim is not None
    assert waiting.stands_by == 1
    claim.release()


@pytest.mark.parametrize("pid", [ME, OTHER], ids=["of this program", "of the one that has started it"])
def test_one_that_is_as_good_as_our_own_is_stood_by_for(
    address: Address, other: Start, pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as that takes, or until it is not wanted any more."""
    monkeypatch.setattr(Holder, "is_left_over", lambda holder, program: False)
    other(Program(pid, started() if pid == ME else 0, frozenset()))
    waiting = Waiting(nothing, nothing, nothing)

    claim = succession.claimed(address, Program.here(), waiting.wanted, waiting.stand_by)

    assert claim is None
    assert waiting.stands_by == 1


def test_one_of_what_this_process_was_before_is_asked_to_leave(address: Address, other: Start) -> None:
    """Nobody else can: whoever has started it executes another program now."""
    first = other(Program(ME, started(), frozenset()))

    claim = succession.claimed(address, Program.here(), Waiting(*[nothing] * 200).wanted, nothing)

    assert claim is not None
    assert first.process.wait(PATIENCE) == -signal.SIGTERM
    claim.release()


def test_another_lock_is_waited_for_while_who_has_it_leaves(
    address: Address, other: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For some seconds, and not if it goes on."""
    monkeypatch.setattr(succession, "_LEAVING", PATIENCE)
    first = other(Program(ME, started(), frozenset()))

    def take() -> FileLock:
        return FileLock(f"{address.path}.lock", "It is taken{who}.")

    with pytest.raises(TakenError, match=rf"It is taken \(process {first.process.pid}\)\."):
        succession.locked(take, Waiting(nothing, nothing).wanted)
    first.tell("leave")
    assert succession.locked(take, Waiting(nothing, nothing).wanted) is None
    lock = succession.locked(take, Waiting(nothing, lambda: first.tell("release"), nothing).wanted)
    assert lock is not None
    lock.release()
    other(Program(ME, started(), frozenset())).tell("leave")
    monkeypatch.setattr(succession, "_LEAVING", 0.0)
    with pytest.raises(TakenError):
        succession.locked(take, Waiting(*[nothing] * 1000).wanted)


@pytest.mark.parametrize("content", ["", "x", "12", "12 a 0 pid", "1 2 3 4 5", "-1 2 3 pid", "\0\0 1 1 1"])
def test_a_lock_that_says_nothing(address: Address, content: str) -> None:
    """Is that of somebody who is about to say it."""
    assert claims._holder(content.encode()) is None


def test_what_is_left_is_inherited_once(address: Address) -> None:
    """And only for some seconds: after that the program was ended, and begins from zero."""
    left = UnifiedRegistry()
    assert not succession.inherit(UnifiedRegistry(), address)
    for age, inherited in ((0.0, True), (60.0, False)):
        succession.bequeath(left, address)
        path = f"{address.path}.left"
        status = os.stat(path)
        os.utime(path, (status.st_atime, status.st_mtime - age))

        assert succession.inherit(UnifiedRegistry(), address) is inherited
        assert not os.path.exists(path)


def test_what_is_left_and_damaged_keeps_nobody_from_starting(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    """It is lost, and that is logged."""
    path = Path(f"{address.path}.left")
    path.write_bytes(b"garbage")

    assert not succession.inherit(UnifiedRegistry(), address)
    assert "What the last aggregator has left is lost" in caplog.messages[0]
    assert not path.exists()
