"""`start()` and `stop()` of an aggregator: what cannot be is raised where they are called, and nothing is left over."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set

import pytest

from tapes.distributed import driving
from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.errors import ReporterError, ReporterStateError
from tapes.reporting import ScheduledReporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tests.distributed.whole.programs import Place
from tests.servers.processes import PATIENCE, free_port, is_there, until

HOUR = 3600.0

forks = pytest.mark.parametrize("fork", [True, False], ids=["forked", "here"])


class HangingReporter(ScheduledReporter):
    """A reporter whose last report takes longer than anybody waits."""

    def report(self) -> None:
        """Report at once when it begins, and never when it ends."""
        if self.reports:
            time.sleep(600)


@pytest.fixture
def started() -> Iterator[List[RegistryAggregator]]:
    """Stop what is put in here."""
    aggregators: List[RegistryAggregator] = []
    yield aggregators
    for aggregator in aggregators:
        aggregator.stop()


@pytest.fixture
def earlier() -> List[int]:
    """Return the child processes that this one had before the test, which others may have left."""
    return children()


def descriptors() -> Set[str]:
    """Return those of this process, and with them the lowest that was free, by which they are listed."""
    return set(os.listdir("/proc/self/fd"))


def children() -> List[int]:
    """Return the child processes of this one that have not been waited for."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def stream(place: Place) -> ThreadedStreamReporter:
    """Make a reporter."""
    return ThreadedStreamReporter(HOUR, path=place.report().path)


def test_start_returns_when_it_works(place: Place) -> None:
    """Then its pages are there, workers are taken in, and its process has a number; after `stop()` it has none."""
    port = free_port()
    aggregator = RegistryAggregator([HTTPReporter(port), stream(place)], place.address)
    before = aggregator.pid

    aggregator.start()
    socket.create_connection(("127.0.0.1", port), 5).close()
    pid = aggregator.pid
    registry = DistributedRegistry(place.address, interval=HOUR)
    registry.counter("served").increment(3)
    registry.connect()
    registry.close()
    aggregator.stop()

    assert before is None
    assert pid is not None
    assert pid != os.getpid()
    assert aggregator.pid is None
    assert not is_there(pid)
    assert place.report().last("served.value") == {"served.value": 3}


@forks
def test_a_port_that_is_in_use_is_raised(place: Place, fork: bool, started: List[RegistryAggregator]) -> None:
    """The error is the one of the reporter; the address is free for an aggregator that can work."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        aggregator = RegistryAggregator([stream(place), HTTPReporter(port)], place.address)
        before = children()

        with pytest.raises(OSError, match="in use") as caught:
            aggregator.start(fork)
        left, pid = [child for child in children() if child not in before], aggregator.pid
    started.append(RegistryAggregator(stream(place), place.address))
    started[0].start()

    assert str(port) in str(caught.value)
    assert str(caught.value).count("[Errno") == 1
    assert (left, pid) == ([], None)


@forks
def test_a_start_that_has_failed_can_be_tried_again(
    place: Place, fork: bool, started: List[RegistryAggregator]
) -> None:
    """When what was wrong has been put right the same aggregator starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        aggregator = RegistryAggregator(HTTPReporter(taken.getsockname()[1]), place.address)
        with pytest.raises(OSError, match="in use"):
            aggregator.start(fork)
    started.append(aggregator)

    aggregator.start()

    assert aggregator.pid is not None


def test_a_second_aggregator_in_this_very_process_is_refused(place: Place) -> None:
    """Two threads cannot merge at one address; the message names it and the process."""
    first = RegistryAggregator(stream(place), place.address)
    thread = threading.Thread(target=first.start, args=(False,))
    thread.start()
    until(place.report().documents, "it works")

    with pytest.raises(ReporterError) as caught:
        RegistryAggregator(stream(place), place.address).start(fork=False)
    first.stop()
    thread.join(PATIENCE)

    assert place.address in str(caught.value)
    assert str(os.getpid()) in str(caught.value)


@forks
def test_a_second_aggregator_of_another_process_is_refused(place: Place, fork: bool) -> None:
    """Whoever runs it, and also for `tcp://`, where the port is taken."""
    tcp = f"tcp://127.0.0.1:{free_port()}"
    others = [
        place.supervise(place.config("insecure = true", address=address, report=name))
        for name, address in (("ipc", place.address), ("tcp", tcp))
    ]
    for name in ("ipc", "tcp"):
        until(place.report(name).documents, f"the one at {name} works")

    messages = []
    for address in (place.address, tcp):
        with pytest.raises((ReporterError, OSError)) as caught:
            RegistryAggregator(stream(place), address, insecure=True).start(fork)
        messages.append(str(caught.value))
    statuses = [other.terminated() for other in others]

    assert [address in message for address, message in zip((place.address, tcp), messages)] == [True, True]
    assert str(others[0].pid) in messages[0]
    assert "in use" in messages[1]
    assert (statuses, [other.said() for other in others]) == ([0, 0], ["", ""])
    assert list(place.folder.glob("a")) + list(place.folder.glob("a.*")) == []


BAD_STATES: Dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"no state at all, but long enough to be one"),
    "short": lambda path: path.write_bytes(b"x"),
    "a folder": lambda path: path.mkdir(),
    "a page": lambda path: path.write_text("<html></html>" * 100),
}


@forks
@pytest.mark.parametrize("spoil", BAD_STATES.values(), ids=BAD_STATES)
def test_a_bad_state_file_is_raised(
    place: Place, fork: bool, spoil: Callable[[Path], object], started: List[RegistryAggregator]
) -> None:
    """It is named, and it is left as it is for somebody to look at; without it the aggregator starts."""
    path = place.folder / "state"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    aggregator = RegistryAggregator(stream(place), place.address, state_path=path)

    with pytest.raises(ReporterError) as caught:
        aggregator.start(fork)
    after = path.read_bytes() if path.is_file() else b""
    path.rename(place.folder / "moved away")
    started.append(aggregator)
    aggregator.start()

    assert str(path) in str(caught.value)
    assert before == after


@forks
def test_places_that_cannot_be_written_to_are_raised(place: Place, fork: bool, tmp_path: Path) -> None:
    """A folder that is not there, for the socket, the state or a report, is named in the error."""
    missing = place.folder / "missing"
    kinds: List[Dict[str, Any]] = [
        {"reporter": stream(place), "socket_addr": f"ipc://{missing}/a"},
        {"reporter": stream(place), "socket_addr": place.address, "state_path": missing / "state"},
        {"reporter": ThreadedStreamReporter(1, path=missing / "report"), "socket_addr": place.address},
    ]

    for kind in kinds:
        with pytest.raises((OSError, ReporterError), match=str(missing)):
            RegistryAggregator(**kind).start(fork)


@forks
def test_what_is_in_the_place_of_the_socket_is_left_alone(place: Place, fork: bool) -> None:
    """A file that is no socket is not removed; the error names it."""
    path = place.folder / "a"
    path.write_text("precious")

    with pytest.raises(ReporterError, match=str(path)):
        RegistryAggregator(stream(place), place.address).start(fork)

    assert path.read_text() == "precious"
    assert sorted(file.name for file in place.folder.iterdir()) == ["a"]


def test_starting_twice_is_an_error(place: Place, started: List[RegistryAggregator]) -> None:
    """The first start stands, however the second is made."""
    aggregator = RegistryAggregator(stream(place), place.address)
    started.append(aggregator)
    aggregator.start()
    pid = aggregator.pid

    for fork in (True, False):
        with pytest.raises(ReporterStateError, match="running already"):
            aggregator.start(fork)

    assert aggregator.pid == pid
    assert pid is not None
    assert is_there(pid)


def test_starting_twice_in_this_process_is_an_error(place: Place) -> None:
    """The same holds for one that runs here."""
    aggregator = RegistryAggregator(stream(place), place.address)
    thread = threading.Thread(target=aggregator.start, args=(False,))
    thread.start()
    until(place.report().documents, "it works")

    for fork in (True, False):
        with pytest.raises(ReporterStateError, match="running already"):
            aggregator.start(fork)
    aggregator.stop()
    thread.join(30)

    assert not thread.is_alive()


def test_stopping_twice_or_without_a_start_does_nothing(place: Place, earlier: List[int]) -> None:
    """Each `stop()` returns, and the last report is made once."""
    aggregator = RegistryAggregator(stream(place), place.address)

    aggregator.stop()
    aggregator.start()
    aggregator.stop()
    aggregator.stop()

    assert len(place.report().documents()) == 2, "the first report and the last"
    assert set(children()) <= set(earlier)


def test_start_after_stop_begins_again(place: Place) -> None:
    """As often as somebody likes; a worker that lives tells each what it has counted."""
    registry = DistributedRegistry(place.address, interval=0.05)
    served = registry.counter("served")
    registry.connect()
    aggregator = RegistryAggregator(ThreadedStreamReporter(0.05, path=place.report().path), place.address)

    seen = []
    for number in range(2):
        served.increment()
        with aggregator:
            seen.append(place.report().await_last({"served.value": number + 1}))
    registry.close()

    assert seen == [{"served.value": 1}, {"served.value": 2}]


def test_with_stops_also_after_an_error(place: Place) -> None:
    """An exception in the block goes on its way, and the aggregator has ended with a last report."""
    aggregator = RegistryAggregator(stream(place), place.address)

    with pytest.raises(KeyError), aggregator:
        raise KeyError

    assert aggregator.pid is None
    assert len(place.report().documents()) == 2


def test_stop_returns_in_time_when_a_reporter_hangs(
    place: Place, earlier: List[int], caplog: pytest.LogCaptureFixture
) -> None:
    """What has not ended by then is killed, which is logged; nothing of it is left."""
    aggregator = RegistryAggregator([HangingReporter(HOUR), stream(place)], place.address)
    aggregator.start()
    pid = aggregator.pid
    assert pid is not None

    began = time.monotonic()
    aggregator.stop(timeout=0.5)
    took = time.monotonic() - began

    assert took < 30
    assert not is_there(pid)
    assert set(children()) <= set(earlier)
    assert [
        record.getMessage().partition(" has not stopped within 0.5 s and was killed")[1] != ""
        for record in caplog.records
    ] == [True]
    aggregator.start()  # although its socket and its lock were left behind
    aggregator.stop(timeout=0)


def test_a_reporter_that_hangs_takes_no_last_report_from_the_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within their deadline the others make theirs, before it in the list and after it."""
    monkeypatch.setattr(driving, "REPORTING", 3.0)
    before, after = (ThreadedStreamReporter(HOUR, path=place.folder / name) for name in ("before", "after"))
    registry = DistributedRegistry(place.address, interval=HOUR)
    aggregator = RegistryAggregator([before, HangingReporter(HOUR), after], place.address)
    aggregator.start()
    registry.connect()
    registry.counter("served").increment(3)
    registry.close()

    began = time.monotonic()
    aggregator.stop()
    took = time.monotonic() - began

    assert took < 30
    assert [place.report(name).last("served.value") for name in ("before", "after")] == [{"served.value": 3}] * 2


def test_stop_leaves_alone_what_has_taken_the_place_of_its_own_files(place: Place) -> None:
    """A program that has closed all files ends its aggregator in order, and nothing is written to its own files."""
    program = place.run("""
        stopping = aggregator(stream(3600))
        stopping.start()
        os.closerange(3, 1000)
        files = [open(FOLDER / f"file{number}", "w+") for number in range(100)]
        stopping.stop()
        say(sum(os.fstat(file.fileno()).st_size for file in files))
    """)
    status = program.ended()

    assert (status, program.said()) == (0, "0\n")
    assert len(place.report().documents()) == 2, "the first report and the last"


def test_stop_of_a_forked_process_is_none_of_its_children_s_business(place: Place) -> None:
    """In a child of the process that has started it, `stop()` and the end of the block leave the aggregator alone."""
    program = place.run("""
        with aggregator() as aggregating:
            pid = aggregating.pid

            def child():
                say(aggregating.pid)
                aggregating.stop()
                say(aggregating.pid)

            join(*[forked(child) for _ in range(2)])
            print(aggregating.pid == pid)
            os.kill(pid, 0)
    """)

    place.check(program, said=[*["None"] * 4, "True"])


def test_a_child_may_run_another_one(place: Place) -> None:
    """At another address than the parent's; at the same one it stands by, and nothing of the parent's is harmed."""
    program = place.run("""
        with aggregator() as aggregating:
            def child():
                with aggregator(stream(name="other"), address=f"ipc://{FOLDER}/b"):
                    registry = worker_registry(f"ipc://{FOLDER}/b")
                    registry.connect()
                    registry.counter("served").increment(2)
                    registry.close()
                with aggregator(stream(name="third")):
                    print(aggregating.pid)

            join(forked(child))
            registry = worker_registry()
            registry.connect()
            registry.counter("served").increment(3)
            registry.close()
    """)
    status = program.ended()

    assert (status, program.lines()[1:]) == (0, ["None"])
    assert "stands by" in program.lines()[0]
    assert not place.report("third").path.exists()
    assert place.report().last("served.value") == {"served.value": 3}
    assert place.report("other").last("served.value") == {"served.value": 2}


def test_starting_and_stopping_leaves_nothing_open(place: Place, earlier: List[int]) -> None:
    """Whether the start has worked or not, this process has as many open files as before."""
    aggregator = RegistryAggregator(stream(place), place.address)
    refused = RegistryAggregator(stream(place), f"ipc://{place.folder}/missing/a")
    gc.collect()  # what other tests have left behind
    before = descriptors()

    for _ in range(3):
        with aggregator, pytest.raises(OSError, match="missing"):
            refused.start()
    with aggregator:
        assert aggregator.pid is not None
        os.kill(aggregator.pid, signal.SIGKILL)
        until(lambda: aggregator.pid is None, "it has ended")

    assert descriptors() <= before
    assert set(children()) <= set(earlier)


def test_ctrl_c_while_it_starts_leaves_nothing(place: Place) -> None:
    """An aggregator that catches up with what was before takes a while: who gives up has no process left."""
    program = place.run("""
        from tapes.distributed import service as module

        path = FOLDER / "state"
        with aggregator(state_path=path):
            pass
        before = set(open(f"/proc/self/task/{os.getpid()}/children").read().split())
        aggregating = aggregator(state_path=path)
        catches_up, module._CATCHING_UP = module._CATCHING_UP, (HOUR, HOUR)
        threading.Thread(target=lambda: (until((FOLDER / "a").exists), os.kill(os.getpid(), signal.SIGINT))).start()
        try:
            aggregating.start()
        except KeyboardInterrupt:
            print("interrupted", aggregating.pid)
        print(set(open(f"/proc/self/task/{os.getpid()}/children").read().split()) - before)
        module._CATCHING_UP = catches_up
        aggregating.start()
        print(aggregating.pid is not None)
        aggregating.stop()
    """)

    place.check(program, said=["interrupted None", "set()", "True"])


@pytest.mark.parametrize("wanted", [1, "x", None, [1], [HTTPReporter(1), None], HTTPReporter])
def test_only_reporters_are_taken(wanted: Any, place: Place) -> None:
    """The message shows what was given instead."""
    with pytest.raises(ReporterError, match="is a reporter or a list of reporters, not "):
        RegistryAggregator(wanted, place.address)


def test_a_stale_socket_and_lock_are_reclaimed(place: Place) -> None:
    """What an aggregator that was killed has left behind is in nobody's way."""
    first = RegistryAggregator(stream(place), place.address)
    first.start()
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: first.pid is None, "it has ended")
    left = sorted(path.name for path in place.folder.iterdir())

    with RegistryAggregator(stream(place), place.address) as second:
        pid = second.pid

    assert left == ["a", "a.lock", "report"]
    assert pid is not None
    assert sorted(path.name for path in place.folder.iterdir()) == ["report"]
