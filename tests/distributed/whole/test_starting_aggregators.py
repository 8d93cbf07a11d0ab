"""`start()` and `stop()` of an aggregator: what cannot be is raised where they are called, and nothing is left over."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
from functools import partial
from typing import Any, Callable, ContextManager, Dict, Iterator, List, NamedTuple, Set

import pytest

from tapes.distributed import driving
from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.errors import ReporterError, ReporterStateError
from tapes.reporting import ScheduledReporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tests.distributed.whole.programs import Place, running_here
from tests.servers.processes import free_port, is_there, until

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


class Obstacle(NamedTuple):
    """Why an aggregator cannot start."""

    options: Dict[str, Any]
    """Of the aggregator."""
    named: str
    """What its error names."""


@contextlib.contextmanager
def port_in_use(place: Place) -> Iterator[Obstacle]:
    """Take the port of a reporter, which is not the first of them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        yield Obstacle({"reporter": [stream(place), HTTPReporter(port)]}, f"(?s)in use.*{port}|{port}.*in use")


@contextlib.contextmanager
def missing_folder(place: Place, option: str) -> Iterator[Obstacle]:
    """Choose a folder that is not there."""
    missing = place.folder / "missing"
    options: Dict[str, Dict[str, Any]] = {
        "socket": {"socket_addr": f"ipc://{missing}/a"},
        "state": {"state_path": missing / "state"},
        "report": {"reporter": ThreadedStreamReporter(1, path=missing / "report")},
    }
    yield Obstacle(options[option], str(missing))
    missing.mkdir()


@contextlib.contextmanager
def another_file(place: Place, name: str, content: bytes, reason: str) -> Iterator[Obstacle]:
    """Put a file there, and see that it is left as it is for somebody to look at."""
    path = place.folder / name
    path.write_bytes(content)
    yield Obstacle({"state_path": place.folder / "state"}, f"{path}{reason}")
    assert path.read_bytes() == content
    path.rename(place.folder / "moved away")


@contextlib.contextmanager
def folder_as_state(place: Place) -> Iterator[Obstacle]:
    """Put a folder in the place of the state."""
    path = place.folder / "state"
    path.mkdir()
    yield Obstacle({"state_path": path}, str(path))
    path.rmdir()


OBSTACLES: Dict[str, Callable[[Place], ContextManager[Obstacle]]] = {
    "a port in use": port_in_use,
    **{f"no folder for the {what}": partial(missing_folder, option=what) for what in ("socket", "state", "report")},
    "a file as the socket": partial(another_file, name="a", content=b"precious", reason="' is a file, and no socket"),
    "garbage as the state": partial(
        another_file, name="state", content=b"no state at all, but long enough to be one", reason=" cannot be used"
    ),
    "a short state": partial(another_file, name="state", content=b"x", reason=" cannot be used"),
    "a folder as the state": folder_as_state,
}


@forks
@pytest.mark.parametrize("obstacle", OBSTACLES.values(), ids=OBSTACLES)
def test_what_keeps_it_from_starting_is_raised(
    place: Place,
    fork: bool,
    obstacle: Callable[[Place], ContextManager[Obstacle]],
    started: List[RegistryAggregator],
    earlier: List[int],
) -> None:
    """The error names it, nothing is left over, and the same aggregator starts when it has been put right."""
    with obstacle(place) as (options, named):
        aggregator = RegistryAggregator(**{"reporter": stream(place), "socket_addr": place.address, **options})
        with pytest.raises((OSError, ReporterError), match=named) as caught:
            aggregator.start(fork)
        left, pid = set(children()) - set(earlier), aggregator.pid
    started.append(aggregator)
    aggregator.start()

    assert str(caught.value).count("[Errno") <= 1
    assert (left, pid) == (set(), None)
    assert aggregator.pid is not None


@forks
def test_a_second_aggregator_of_another_process_is_refused(place: Place, fork: bool) -> None:
    """Whoever runs it, and also for `tcp://`, where the port is taken."""
    tcp = f"tcp://127.0.0.1:{free_port()}"
    others = [place.supervise(place.config("insecure = true", address=address)) for address in (place.address, tcp)]

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


@pytest.mark.parametrize("running", [lambda aggregator: aggregator, running_here], ids=["forked", "here"])
def test_starting_twice_is_an_error(place: Place, running: Callable[[Any], ContextManager[object]]) -> None:
    """The first start stands, however the second is made."""
    aggregator = RegistryAggregator(stream(place), place.address)
    with running(aggregator):
        pid = aggregator.pid

        for fork in (True, False):
            with pytest.raises(ReporterStateError, match="running already"):
                aggregator.start(fork)

        assert aggregator.pid == pid
        assert is_there(pid or os.getpid())


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
    (message,) = caplog.messages
    assert " did not stop within 0.5 s and was killed" in message
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

    place.check(program, said=["0"])
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
                    count(2, f"ipc://{FOLDER}/b")
                with aggregator(stream(name="third")):
                    print(aggregating.pid)

            join(forked(child))
            count(3)
    """)

    place.check(program, last={"served.value": 3}, said=None)
    assert program.lines()[1:] == ["None"]
    assert "stands by" in program.lines()[0]
    assert not place.report("third").path.exists()
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
