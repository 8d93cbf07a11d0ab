"""Which loop drives a reporter."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, Iterator, List, Set

import pytest
from tornado.ioloop import IOLoop

from tapes.errors import ReporterStateError
from tapes.reporting.run import Run
from tapes.reporting.tornado import loops
from tests.conftest import RunScript, Until
from tests.tornado.conftest import LoopThread


@pytest.fixture
def run() -> Iterator[Run]:
    """Make a run, and stop it in the end."""
    made = Run(lambda: None)
    yield made
    made.request_stop()


@pytest.fixture
def child_run() -> Iterator[Run]:
    """Make a run as it is made in a forked child."""
    made = Run(lambda: None, in_child=True)
    yield made
    made.request_stop()
    loops._ghosts.clear()


@pytest.fixture(autouse=True)
def _nothing_waits_afterwards(until: Until) -> Iterator[None]:
    """Every lookout ends with what it looks for, or with its run."""
    before = lookouts()
    yield
    until(lambda: lookouts() <= before)


@pytest.fixture
def seen() -> List[Any]:
    """Note which loops begin."""
    return []


def lookouts() -> Set[threading.Thread]:
    """Return the lookouts that there are."""
    return {thread for thread in threading.enumerate() if thread.name.endswith("-lookout")}


def test_a_loop_that_is_given_begins(run: Run, seen: List[Any], loop_thread: LoopThread, until: Until) -> None:
    """It is called on the thread of the loop, with the loop."""
    loops.when_running(loop_thread.io_loop, run, lambda loop: seen.append((loop, threading.current_thread())), "Lamp")
    until(lambda: seen)

    assert seen == [(loop_thread.io_loop, loop_thread.thread)]


def test_a_loop_that_is_given_may_run_later(run: Run, seen: List[Any], io_loop: Any) -> None:
    """Nothing happens before the loop runs."""
    loops.when_running(io_loop, run, seen.append, "Lamp")
    assert seen == []
    io_loop.asyncio_loop.run_until_complete(asyncio.sleep(0))

    assert seen == [io_loop]


def test_the_loop_that_runs_here_begins(run: Run, seen: List[Any], loop_thread: LoopThread) -> None:
    """Inside of asyncio.run() it is that loop, although another one runs as well."""

    async def main() -> IOLoop:
        loops.when_running(None, run, seen.append, "Lamp")
        assert seen == []
        await asyncio.sleep(0)
        run.request_stop()
        return IOLoop.current()

    mine = asyncio.run(main())

    assert seen == [mine]


def test_a_loop_that_runs_elsewhere_is_found(run: Run, seen: List[Any], loop_thread: LoopThread, until: Until) -> None:
    """A thread without a loop has the loop of another thread begin."""
    loops.when_running(None, run, lambda loop: seen.append((loop, threading.current_thread())), "Lamp")
    until(lambda: seen)

    assert seen == [(loop_thread.io_loop, loop_thread.thread)]


def test_the_lookout_is_a_named_daemon(run: Run) -> None:
    """Before any loop runs a daemon thread with the name of the reporter looks out, until the run is to stop."""
    loops.when_running(None, run, lambda loop: None, "Lamp")

    (mine,) = (thread for thread in threading.enumerate() if thread.name == "tapes-Lamp-lookout")
    assert mine.daemon
    run.request_stop()
    mine.join(30)
    assert not mine.is_alive()


def test_a_loop_of_the_main_thread_is_preferred(child_run: Run, loop_thread: LoopThread) -> None:
    """If several loops run, it is the one of the main thread."""

    async def main() -> List[Any]:
        mine = IOLoop.current()
        return [loops._running()[0] is mine, loop_thread.io_loop in loops._running()]

    assert asyncio.run(main()) == [True, True]


def test_a_run_that_is_stopping_does_not_begin(run: Run, seen: List[Any], io_loop: Any) -> None:
    """A stop that comes before the loop runs takes the beginning back."""
    loops.when_running(io_loop, run, seen.append, "Lamp")

    run.request_stop()
    io_loop.asyncio_loop.run_until_complete(asyncio.sleep(0))

    assert seen == []


def test_a_loop_that_stops_before_it_begins_is_not_waited_for(run: Run, seen: List[Any], until: Until) -> None:
    """A loop that ends in the moment in which it is found leaves the reporter to the next one, which begins once."""
    first = LoopThread()
    blocked, release = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        release.wait(30)
        first.io_loop.stop()

    asked: List[Any] = []
    first.io_loop.add_callback(block)
    assert blocked.wait(30)
    add_callback = first.io_loop.add_callback
    first.io_loop.add_callback = lambda *args: asked.append(args)
    loops.when_running(None, run, seen.append, "Lamp")
    until(lambda: asked)
    release.set()
    first.thread.join(30)
    second = LoopThread()
    until(lambda: seen)
    first.io_loop.add_callback = add_callback
    first.io_loop.add_callback(*asked[0])
    first.io_loop.asyncio_loop.run_until_complete(asyncio.sleep(0))

    assert seen == [second.io_loop]
    first.close()
    second.close()


def test_loops_of_the_parent_are_ignored_in_a_child(
    child_run: Run, seen: List[Any], loop_thread: LoopThread, until: Until
) -> None:
    """What asyncio says of a loop that ran at the moment of the fork does not count, nor does one that was given."""
    loops.when_running(loop_thread.io_loop, child_run, seen.append, "Lamp")
    other = LoopThread()
    until(lambda: seen)

    assert seen == [other.io_loop]
    other.close()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (False, "no loop of Tornado has been running in this process for 0 s"),
        (True, "the loop that it was given has not been running in this process for 0 s"),
    ],
)
def test_a_long_wait_is_told(
    given: bool,
    missing: str,
    io_loop: Any,
    run: Run,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After 10 s without a loop one warning says who waits for what, and what to do."""
    assert loops.WARN_AFTER == 10
    monkeypatch.setattr(loops, "WARN_AFTER", 0)

    lookout = loops._Lookout(run, lambda loop: None, "Lamp", io_loop if given else None)
    thread = threading.Thread(target=lookout.work, daemon=True)
    thread.start()
    until(lambda: caplog.records)
    run.stopping.wait(0.1)
    run.request_stop()
    thread.join(30)

    assert [(record.name, record.levelname) for record in caplog.records] == [("tapes.reporting", "WARNING")]
    assert (
        caplog.records[0]
        .getMessage()
        .startswith(
            f"Lamp waits for an event loop: {missing}, and nothing is reported until one runs, except for a last "
            "report when it is stopped. "
        )
    )


def test_a_parent_of_workers_is_not_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that has forked since, as the parent of workers, is not expected to run a loop."""
    lookout = loops._Lookout(run, lambda loop: None, "Lamp", None)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

    lookout._warn()

    assert caplog.records == []


def test_the_next_loop_is_followed_to(run: Run, seen: List[Any]) -> None:
    """A loop that runs later is found when there is an IOLoop for it; when it has ended, the next one, and so on."""
    loops.when_running(None, run, seen.append, "Lamp")

    async def main(number: int) -> IOLoop:
        mine = IOLoop.current()
        while len(seen) < number:
            await asyncio.sleep(0.002)
        return mine

    ran = [asyncio.run(asyncio.wait_for(main(number), 30)) for number in (1, 2, 3)]

    assert seen == ran


def test_a_loop_that_is_given_is_kept_to(
    run: Run,
    seen: List[Any],
    io_loop: Any,
    loop_thread: LoopThread,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    """When it has ended no other one begins, and that is told."""
    monkeypatch.setattr(loops, "WARN_AFTER", 0.5)
    loops.when_running(io_loop, run, seen.append, "Lamp")
    io_loop.asyncio_loop.run_until_complete(asyncio.sleep(0))
    io_loop.close()

    until(lambda: caplog.records)

    assert seen == [io_loop]
    assert "the loop that it was given has not been running" in caplog.records[0].getMessage()


def test_a_closed_loop_is_refused(run: Run, io_loop: Any) -> None:
    """A loop that can never run is the user's own mistake, and raises at the start."""
    io_loop.close()

    with pytest.raises(ReporterStateError, match="The io_loop of Lamp is closed"):
        loops.when_running(io_loop, run, lambda loop: None, "Lamp")


def test_no_loop_is_touched_before_the_fork(run_script: RunScript) -> None:
    """Importing, creating and starting reporters makes no loop, neither of Tornado nor of asyncio."""
    done = run_script("""
        import asyncio, os, sys
        made = []
        new_event_loop = asyncio.new_event_loop
        asyncio.new_event_loop = lambda: made.append(1) or new_event_loop()
        asyncio.DefaultEventLoopPolicy.new_event_loop = lambda self: made.append(2)
        from tornado.ioloop import IOLoop
        from tapes.reporting.tornado import TornadoScheduledReporter
        from tapes.reporting.tornado.stream import TornadoStreamReporter
        from tapes.reporting.tornado.statsd import TornadoStatsdReporter

        class Silent(TornadoScheduledReporter):
            def report(self):
                pass

        reporters = [Silent(3600), TornadoStreamReporter(3600, sys.stderr), TornadoStatsdReporter(3600)]
        for reporter in reporters:
            reporter.start()
        pid = os.fork()
        if pid == 0:
            print("child", IOLoop._ioloop_for_asyncio, made, [reporter.running for reporter in reporters], flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print("parent", IOLoop._ioloop_for_asyncio, made, [reporter.running for reporter in reporters], flush=True)
        os._exit(0)
    """)

    assert done.stdout == "child {} [] [True, True, True]\nparent {} [] [True, True, True]\n"
