"""A worker that reaches no aggregator says so, and why, and tries again whatever the reason was."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
from functools import partial
from pathlib import Path
from typing import Callable, ContextManager, Iterator, List, Optional

import pytest

from tapes.distributed import connection, keys, link, trust
from tapes.distributed.reporter import ZmqReporter
from tapes.distributed.trust import Peer
from tapes.errors import ReporterError, ReporterOptionError
from tapes.registry import Registry
from tests.distributed.receiving import at, at_port, await_total, receiving
from tests.servers.installed import missing
from tests.servers.processes import PATIENCE, until

NOBODY = 65534
"""The number of a user that owns nothing here."""


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let nobody be patient."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(link, "_GRACE", 0.3)
    monkeypatch.setattr(connection, "_AGAIN", (0.02, 0.05))
    monkeypatch.setattr(connection, "_REFUSED", 0.1)


@pytest.fixture
def registry() -> Registry:
    """Return one in which something was counted."""
    made = Registry()
    made.counter("served").increment(3)
    return made


def lines_of(caplog: pytest.LogCaptureFixture) -> List[str]:
    """Return what was logged, each with whatever traceback it has."""
    formatter = logging.Formatter("%(levelname)s %(message)s")
    return [formatter.format(record) for record in caplog.records if record.name.startswith("tapes")]


Obstacle = Callable[[Path], ContextManager[object]]


@contextlib.contextmanager
def listener(path: Path, *, listens: bool = True) -> Iterator[None]:
    """Be at a path with a socket, and say nothing."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(path))
        if listens:
            made.listen()
        yield
    path.unlink()


@contextlib.contextmanager
def a_link(path: Path) -> Iterator[None]:
    """Have a link at a path, to a socket at which somebody listens."""
    with listener(path.with_name("b")):
        path.symlink_to(path.with_name("b"))
        yield
        path.unlink()


@contextlib.contextmanager
def a_file(path: Path) -> Iterator[None]:
    """Have a file at a path."""
    path.touch()
    yield
    path.unlink()


@contextlib.contextmanager
def anothers(path: Path) -> Iterator[None]:
    """Have the socket of another user at a path."""
    if os.geteuid() != 0:
        missing("only root can make a socket of another user: run the tests as root")
    with listener(path):
        os.chown(path, NOBODY, -1)
        yield


NOTHING: Obstacle = contextlib.nullcontext
LEFT_BEHIND: Obstacle = partial(listener, listens=False)


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (NOTHING, "there is none, start it or correct the address"),
        (LEFT_BEHIND, "nobody listens there: start it"),
        (listener, "the process that listens there does not answer: it is suspended, or is no aggregator"),
        (a_link, "is a symbolic link, which is not followed: remove it"),
        (a_file, "is a file: remove it"),
        (anothers, "its socket belongs to the user nobody: give trust='nobody' to trust that user"),
    ],
    ids=["nothing", "left behind", "held still", "a link", "a file", "another's"],
)
def test_why_there_is_no_aggregator_is_said_once(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture, obstacle: Obstacle, reason: str
) -> None:
    """In one line a streak, at the first and with each report that follows it counts as a failure; then all is told."""
    address = at(folder / "a")
    reporter = ZmqReporter(0.02, address.text, registry)
    with obstacle(folder / "a"):
        reporter.start()
        until(lambda: reporter.failures >= 3, "that is a failure")
        error = reporter.last_error
    with receiving(address) as unified:
        await_total(unified, 3)
        until(lambda: len(lines_of(caplog)) > 1, "it is over")
        reporter.stop()

    assert isinstance(error, ReporterError)
    assert str(error).startswith(f"No aggregator receives anything at {address}: ")
    assert str(error).endswith(f"{reason}. What is counted meanwhile is sent later.")
    first, last = lines_of(caplog)
    assert first == f"WARNING {reporter!r} could not report: {error}"
    assert last.startswith(f"INFO {reporter!r} works again after ")


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (NOTHING, "there is none, start it or correct the address"),
        (LEFT_BEHIND, "nobody listens there: start it"),
        (None, "nobody listens there: start it"),
        (listener, "the process that listens there does not answer"),
    ],
    ids=["nothing", "left behind", "a closed port", "held still"],
)
def test_a_worker_that_ends_does_not_wait_for_who_is_not_there(
    folder: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    obstacle: Optional[Obstacle],
    reason: str,
) -> None:
    """Where nobody is, or gives a sign of life, it ends after a moment, and says why in one line."""
    monkeypatch.setattr(link, "_GRACE", 2 * PATIENCE)
    monkeypatch.setattr(link, "FAREWELL", 2 * PATIENCE)
    monkeypatch.setattr(link, "_SILENT", 0.3 if obstacle is listener else 2 * PATIENCE)
    monkeypatch.setattr(link, "is_busy", lambda pid: False)
    address = at_port() if obstacle is None else at(folder / "a")
    with (obstacle or NOTHING)(folder / "a"):
        reporter = ZmqReporter(3600, address.text, registry, insecure=True)
        reporter.start()
        reporter.stop(PATIENCE)

    assert reporter.reports == 2
    (line,) = lines_of(caplog)
    assert line.startswith(f"WARNING {reporter!r} stops, and no aggregator has confirmed its last report: {reason}")


def test_the_reason_is_that_of_now(folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was in the way before."""
    monkeypatch.setattr(connection, "_ANSWER", 0.1)
    # What 0MQ says when it has waited for too long, which is later.
    monkeypatch.setattr(connection, "_EVENTS", connection._EVENTS & ~connection._FAILED)
    with ZmqReporter(0.02, f"ipc://{folder}/a", registry) as reporter:
        until(lambda: "there is none" in str(reporter.last_error), "there is none")
        with listener(folder / "a"):
            until(lambda: "does not answer" in str(reporter.last_error), "somebody listens")
        until(lambda: "there is none" in str(reporter.last_error), "there is none again")


def test_between_two_reports_it_is_said_as_soon(folder: Path, registry: Registry) -> None:
    """Who publishes once an hour does not take an hour to say so."""
    with ZmqReporter(3600, f"ipc://{folder}/a", registry) as reporter:
        until(lambda: reporter.failures == 1, "that is a failure")
        reports = reporter.reports

    assert reports == 1


def test_who_has_nothing_to_say_misses_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process in which nothing was recorded needs no aggregator."""
    registry = Registry()
    registry.counter("served")
    with ZmqReporter(0.02, f"ipc://{folder}/a", registry) as reporter:
        until(lambda: reporter.reports > 3, "there was none")
    assert lines_of(caplog) == []
    with ZmqReporter(0.02, f"ipc://{folder}/a", registry) as reporter:
        until(lambda: reporter.reports > 20, "there was none for a while")
        registry.counter("served").increment()
        until(lambda: reporter.failures, "something was recorded")

    assert len(lines_of(caplog)) == 2  # and that nothing was confirmed


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Only Linux shows the descriptors of a process.")
def test_nothing_stays_open(folder: Path, registry: Registry) -> None:
    """A reporter that has stopped has given back all its descriptors, whether it has reached anybody or not."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def report_to(place: str) -> None:
        with ZmqReporter(0.02, f"ipc://{folder}/{place}", registry) as reporter:
            until(lambda: reporter.reports > 1, "it has reported")

    with receiving(at(folder / "a")):
        for place in ("a", "b"):
            report_to(place)
        most = descriptors()
        for place in ("a", "b"):
            report_to(place)
        until(lambda: descriptors() <= most, "no more are open than before")


@pytest.mark.usefixtures("root")
def test_a_user_that_is_trusted(folder: Path, registry: Registry) -> None:
    """Its socket is published to, as that of root and that of the user itself are."""
    address = at(folder / "a")
    with receiving(address) as unified:
        os.chown(folder / "a", NOBODY, -1)
        with ZmqReporter(0.02, address.text, registry, trust=["nobody", 12345]):
            await_total(unified, 3)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("no such user", "trust: this system has no user 'no such user': name one that it has, or give a number."),
        (True, "trust is the name or the number of a user, or a list of them, not True."),
        ([1.5], "trust is the name or the number of a user, or a list of them, not 1.5."),
    ],
)
def test_trust_in_nobody(given: object, reason: str) -> None:
    """A user that cannot be is an error that names it."""
    with pytest.raises(ReporterOptionError) as caught:
        trust.users(given)

    assert str(caught.value) == reason


def test_who_listens_is_looked_at_too() -> None:
    """A socket of the right user may have been handed to a process of another one, or replaced in the last moment."""
    assert trust.peer_fault(Peer(7, os.geteuid()), frozenset()) is None
    assert trust.peer_fault(Peer(7, 0), frozenset()) is None
    assert trust.peer_fault(Peer(7, 12345), frozenset([12345])) is None
    assert trust.peer_fault(None, frozenset()) is None
    doubt = trust.peer_fault(Peer(7, 12345), frozenset())
    assert doubt == "process 7 that listens there belongs to the user number 12345: give trust=12345 to trust that user"


def test_who_is_at_the_other_end_is_known(folder: Path) -> None:
    """The process that listens, and its user."""
    with listener(folder / "a"), socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{folder}/a")
        found = trust.peer(client.fileno())

    assert found == Peer(os.getpid(), os.geteuid())


@pytest.mark.parametrize("first", ["without-keys", "with-other-keys"])
def test_one_that_was_turned_away_comes_again(folder: Path, registry: Registry, first: str) -> None:
    """When the aggregator is started again with the right keys, all is told that was counted."""
    right, wrong = keys.generate(folder / "right"), keys.generate(folder / "wrong")
    address = at_port()
    reason = "it refuses this worker: it has other keys than this worker expects, or none"
    with ZmqReporter(0.02, address.text, registry, keys=right) as reporter:
        with receiving(address, None if first == "without-keys" else keys.of_aggregator(wrong)):
            until(lambda: reason in str(reporter.last_error), "it is turned away")
        with receiving(address, keys.of_aggregator(right)) as unified:
            await_total(unified, 3)
            reporter.stop()


def test_an_aggregator_that_wants_keys(folder: Path, registry: Registry) -> None:
    """A worker that has none is told so."""
    address = at_port()
    wanted = keys.of_aggregator(keys.generate(folder / "keys"))
    reason = "it refuses this worker: it requires keys, or is no aggregator"
    with receiving(address, wanted), ZmqReporter(0.02, address.text, registry, insecure=True) as reporter:
        until(lambda: reason in str(reporter.last_error), "it is told so")


def test_the_keys_are_read_again(folder: Path, registry: Registry) -> None:
    """A worker whose keys are replaced goes on with the new ones, and with those that it has if it cannot read them."""
    right, mine = keys.generate(folder / "right"), keys.generate(folder / "mine")
    address = at_port()
    reporter = ZmqReporter(0.02, address.text, registry, keys=mine)
    with receiving(address, keys.of_aggregator(right)) as unified, reporter:
        until(lambda: reporter.failures, "it is turned away")
        shutil.rmtree(mine)
        failures = reporter.failures
        until(lambda: reporter.failures > failures + 10, "it is turned away all the same")
        error = str(reporter.last_error)
        shutil.copytree(right, mine)
        await_total(unified, 3)

    assert "keys:" not in error, "It tries on, with the keys that it has."


def test_a_key_that_is_admitted_later(folder: Path, registry: Registry) -> None:
    """A worker that comes before its key is in the folder of the aggregator is let in as soon as it is."""
    right = keys.generate(folder / "right")
    address = at_port()
    admitted = keys.of_aggregator(right)
    known = dict(admitted.admitted)
    admitted.admitted.clear()
    with receiving(address, admitted) as unified, ZmqReporter(0.02, address.text, registry, keys=right) as reporter:
        until(lambda: reporter.failures, "it is turned away")
        error = str(reporter.last_error)
        admitted.admitted.update(known)
        await_total(unified, 3)

    assert (
        "it does not know the key of this worker: copy the worker's .key into the folder of the aggregator's keys"
    ) in error
