"""One aggregator at a time has an address: who has it, and when that one is waited for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import pytest

from tapes.distributed import claims, succession
from tapes.distributed.addresses import Address
from tapes.distributed.claims import Claim, FileLock, Holder, Program, TakenError
from tapes.distributed.processes import processes, started
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError
from tests.distributed.receiving import at, at_port
from tests.servers.processes import PATIENCE, environment

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


HOLDERS = {
    "leaves": (Holder(1, 0, 0, HERE), True, False, False, False),
    "leaves in another container": (Holder(1, 0, 0, "another namespace"), True, False, False, False),
    "of what this process was before": (Holder(1, ME, started(), HERE), False, True, True, True),
    "in this process": (Holder(ME, ME, started(), HERE), False, True, True, False),
    "forked by this process": (Holder(7, ME, started(), HERE), False, True, True, False),
    "the same number elsewhere": (Holder(1, ME, started(), "another namespace"), False, False, False, False),
    "of a process that had the same number": (Holder(1, ME, started() + 1, HERE), True, False, False, False),
    "of a process that is gone": (Holder(1, UNUSED, 0, HERE), True, False, False, False),
    "a number that others have": (Holder(1, UNUSED, 0, "another namespace"), False, False, False, False),
    "of the parent": (Holder(1, OTHER, 0, HERE), False, False, True, False),
    "of somebody else": (Holder(1, 1, 0, HERE), False, False, False, False),
}
"""Who has a lock, and whether that leaves, goes on, belongs to this program, and is left over from it."""


@pytest.fixture
def address(folder: Path) -> Address:
    """Return an address in a folder of its own."""
    return at(folder / "a")


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

    def claim(self, address: Address) -> Optional[Claim]:
        """Wait for an address."""
        return succession.claimed(address, Program.here(), self.wanted, self.stand_by)


def nothing() -> None:
    """Let a moment pass."""


# Who has an address.


def test_an_address_is_claimed_once(folder: Path, address: Address) -> None:
    """Until the claim is released, once. Nothing is left then, and other addresses are others."""
    for _ in range(2):
        claim = Claim(address)
        with pytest.raises(ReporterError, match=rf"an aggregator \(process {ME}\) at {address} already"):
            Claim(address)
        Claim(at(folder / "b")).release()
        assert claim.is_first
        claim.release()
        assert list(folder.iterdir()) == []
    last = Claim(address)
    claim.release()

    with pytest.raises(ReporterError, match="already"):
        Claim(address)
    last.release()


def test_a_claim_of_another_process_is_respected(folder: Path, address: Address, other: Start) -> None:
    """The error says which process it is. When it is released in good order nothing is left."""
    holder = other(Program.here())
    with pytest.raises(ReporterError, match=rf"an aggregator \(process {holder.process.pid}\) at {address} already"):
        Claim(address)
    holder.tell("release")
    assert list(folder.iterdir()) == []

    claim = Claim(address)
    assert claim.is_first
    claim.release()


def test_a_claim_ends_with_its_process(folder: Path, address: Address, other: Start) -> None:
    """However that ends: what a killed one has left is no obstacle."""
    killed = other(Program.here()).process
    killed.kill()
    killed.wait()
    assert [file.name for file in folder.iterdir()] == ["a.lock"]

    claim = Claim(address)
    assert not claim.is_first
    claim.release()
    assert list(folder.iterdir()) == []


def test_a_socket_that_was_left_behind_is_removed(folder: Path, address: Address) -> None:
    """It tells that an aggregator has been there before which did not end in good order."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "a"))

    claim = Claim(address)

    assert not (folder / "a").exists()
    assert not claim.is_first
    claim.release()


def test_a_file_that_is_no_socket_is_left_alone(folder: Path, address: Address) -> None:
    """It is somebody's, who did not mean it to be removed; and the address can be claimed when it is gone."""
    (folder / "a").write_text("precious")
    with pytest.raises(ReporterError, match="a' is a file, and no socket"):
        Claim(address)
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a": "precious"}
    (folder / "a").unlink()

    Claim(address).release()


def test_a_forked_child_does_not_release_what_its_parent_has(folder: Path, address: Address) -> None:
    """Nor does it have it."""
    claim = Claim(address)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            claim.release()
            try:
                Claim(address)
            except ReporterError:
                status = 0
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (folder / "a.lock").exists()
    claim.release()


def test_a_folder_that_is_not_there(folder: Path) -> None:
    """The error names the address and says what to do."""
    with pytest.raises(
        OSError, match=rf"cannot listen at ipc://{folder}/no/a: {folder}/no/a.lock: No such file.*Choose a folder"
    ):
        Claim(at(folder / "no" / "a"))


def test_a_tcp_address_has_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses a second aggregator at a port by itself."""
    monkeypatch.chdir(folder)
    address = at_port()
    claims = [Claim(address), Claim(address)]

    assert [claim.is_first for claim in claims] == [True, True]
    for claim in claims:
        claim.release()
    assert list(folder.iterdir()) == []


# Who is waited for.


@pytest.mark.parametrize(("holder", "leaving", "goes_on", "belongs", "left_over"), HOLDERS.values(), ids=HOLDERS)
def test_whose_an_aggregator_is(holder: Holder, leaving: bool, goes_on: bool, belongs: bool, left_over: bool) -> None:
    """Numbers of processes count where they mean the same, and when they are the same process."""
    program = Program(ME, started(), frozenset([OTHER]), frozenset([7]))

    assert (holder.is_leaving, holder.goes_on) == (leaving, goes_on)
    assert (holder.belongs_to(program), holder.is_left_over(program)) == (belongs, left_over)


def test_an_address_that_nobody_has_is_claimed_at_once(address: Address) -> None:
    """Nobody is told anything."""
    waiting = Waiting(nothing)
    claim = waiting.claim(address)

    assert claim is not None
    assert waiting.stands_by == 0
    assert not claim.has_successor
    claim.release()


def test_an_aggregator_of_a_different_program_is_not_waited_for(address: Address, other: Start) -> None:
    """As long as that program is there, the second one is refused, with the process that is in its way."""
    with subprocess.Popen(["sleep", str(PATIENCE)]) as program:
        stat = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
        first = other(Program(program.pid, int(stat[19]), frozenset()))
        waiting = Waiting(nothing, nothing)
        try:
            with pytest.raises(ReporterError, match=rf"an aggregator \(process {first.process.pid}\) at {address}"):
                waiting.claim(address)
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
        Waiting(*[nothing] * 1000).claim(address)
    monkeypatch.setattr(succession, "_UNKNOWN", PATIENCE)
    waiting = Waiting(
        nothing,
        lambda: first.tell("leave"),
        lambda: monkeypatch.setattr(succession, "_UNKNOWN", 0.0),
        nothing,
        lambda: first.tell("release"),
        nothing,
    )
    claim = waiting.claim(address)

    assert claim is not None
    assert waiting.stands_by == 0
    claim.release()


def test_one_whose_program_is_gone_is_waited_for(address: Address, other: Start, gone: Program) -> None:
    """Also before it has noticed that itself; it knows that somebody waits."""
    first = other(gone)
    waiting = Waiting(nothing, nothing, lambda: first.tell("release"), nothing)

    claim = waiting.claim(address)

    assert claim is not None
    assert address.path is not None
    assert waiting.stands_by == 0
    assert claims.has_successor(address.path), "workers wait for it until it is there"
    claim.settle()
    assert not claims.has_successor(address.path)
    claim.release()
    assert os.listdir(os.path.dirname(address.path)) == []


def test_a_turn_whose_holder_was_killed_is_nobody_s(address: Address) -> None:
    """Its file is removed, and workers do not wait."""
    assert address.path is not None
    Path(claims.standby_lock_path(address.path)).write_text("12345 1 0 x\n")

    assert not claims.has_successor(address.path)
    assert not os.path.exists(claims.standby_lock_path(address.path))


def test_one_that_takes_long_to_leave_keeps_nobody_from_starting(
    address: Address, other: Start, gone: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds it is said once that this one stands by, whose turn comes all the same."""
    monkeypatch.setattr(succession, "_LEAVING", 0.0)
    first = other(gone)
    waiting = Waiting(nothing, nothing, nothing, first.process.kill, first.process.wait, nothing)

    claim = waiting.claim(address)

    assert claim is not None
    assert waiting.stands_by == 1
    claim.release()


@pytest.mark.parametrize("pid", [ME, OTHER], ids=["of this program", "of the one that has started it"])
def test_one_that_is_as_good_as_our_own_is_stood_by_for(
    address: Address, other: Start, pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as that takes, or until it is not wanted any more, when nobody has the turn any longer."""
    monkeypatch.setattr(Holder, "is_left_over", lambda holder, program: False)
    other(Program(pid, started() if pid == ME else 0, frozenset()))
    waiting = Waiting(nothing, nothing, nothing)

    claim = waiting.claim(address)

    assert claim is None
    assert address.path is not None
    assert waiting.stands_by == 1
    assert not claims.has_successor(address.path)


def test_one_of_what_this_process_was_before_is_asked_to_leave(address: Address, other: Start) -> None:
    """Nobody else can: whoever has started it executes another program now."""
    first = other(Program(ME, started(), frozenset()))

    claim = Waiting(*[nothing] * 200).claim(address)

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
    assert not succession.take_over(UnifiedRegistry(), address)
    for age, inherited in ((0.0, True), (60.0, False)):
        succession.hand_over(left, address)
        path = f"{address.path}.left"
        status = os.stat(path)
        os.utime(path, (status.st_atime, status.st_mtime - age))

        assert succession.take_over(UnifiedRegistry(), address) is inherited
        assert not os.path.exists(path)


def test_what_is_left_and_damaged_keeps_nobody_from_starting(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    """It is lost, and that is logged."""
    path = Path(f"{address.path}.left")
    path.write_bytes(b"garbage")

    assert not succession.take_over(UnifiedRegistry(), address)
    assert "The state of the last aggregator is lost" in caplog.messages[0]
    assert not path.exists()


LOOK = """
import sys
from tapes.distributed.claims import is_held
print("looks", flush=True)
while True:
    is_held(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a lock cannot be looked at without taking it")
def test_looking_at_a_lock_does_not_take_it(folder: Path) -> None:
    """Others find it free meanwhile, however often somebody looks."""
    path = str(folder / "lock")
    command = [sys.executable, "-c", LOOK, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as looking:
        try:
            assert looking.stdout is not None
            looking.stdout.readline()
            for _ in range(2_000):
                FileLock(path, "It is taken.").release(leave=True)
        finally:
            looking.kill()
