"""`start(fork=False)`: the aggregator runs in this very process and blocks, until it is stopped."""

from __future__ import annotations

import gc
import signal
from typing import Tuple

import pytest

from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter
from tests.distributed.whole.programs import Place, running_here
from tests.servers.processes import until

WORKERS = """
registry, served = counting()

def work():
    registry.connect()
    served.increment(1)
    noted("seen")
    served.increment(10)

join(*[forked(work) for _ in range(3)])
"""


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, "ThreadedStreamReporter"), (signal.SIGINT, "TornadoStreamReporter")]
)
def test_a_signal_ends_it_in_the_main_thread(place: Place, number: signal.Signals, kind: str) -> None:
    """`start()` returns after a last report, and the handlers that were there before are back."""
    program = place.run(f"""
        from tapes.reporting.tornado.stream import TornadoStreamReporter

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

        def handler(*_):
            print("mine")

        signal.signal(signal.SIGTERM, handler)
        before = [signal.getsignal(number) for number in numbers]
        reporter = {kind}(HOUR, path=FOLDER / "report")
        aggregator(reporter, stream(name="live")).start(fork=False)
        print([signal.getsignal(number) for number in numbers] == before)
        print(reporter.running)
        os.kill(os.getpid(), signal.SIGTERM)
    """)
    workers = place.run(WORKERS)
    seen = place.report("live").await_last({"served.value": 3})
    place.note("seen")

    assert seen == {"served.value": 3}
    place.check(workers)
    program.signal(number)
    place.check(program, last={"served.value": 33}, said=["True", "False", "mine"])


@pytest.mark.parametrize("stopped", ["main thread", "another thread"])
def test_stop_from_another_thread_ends_it(place: Place, stopped: str) -> None:
    """Whichever of the two is the main thread."""
    here = stopped == "main thread"
    program = place.run(f"""
        aggregating = aggregator(stream(HOUR), stream(name="live"))

        def stop():
            noted("stop")
            aggregating.stop()
            note("stop.returned")

        def start():
            aggregating.start(fork=False)
            note("start.returned")

        apart = threading.Thread(target=start if {not here} else stop)
        apart.start()
        (stop if {not here} else start)()
        apart.join()
        aggregating.stop()
    """)
    workers = place.run(WORKERS)
    seen = place.report("live").await_last({"served.value": 3})
    place.note("seen")

    assert seen == {"served.value": 3}
    place.check(workers)
    place.note("stop")
    place.check(program, last={"served.value": 33})


@pytest.mark.parametrize("kind", [ThreadedStreamReporter, TornadoStreamReporter])
def test_its_registry_can_be_read_in_this_process(
    place: Place, kind: type[ThreadedStreamReporter] | type[TornadoStreamReporter]
) -> None:
    """While it runs and after that; the reporters are those of the unified registry."""
    aggregator = RegistryAggregator(kind(3600, path=place.report().path), place.address)
    with running_here(aggregator):
        registry = DistributedRegistry(place.address, interval=0.05)
        registry.counter("served", {"kind": "page"}).increment(3)
        registry.connect()
        until(lambda: aggregator.registry.get_stats().get("served") == {"kind=page": {"value": 3}}, "it is told")
        names = {reading.name for reading in aggregator.registry.snapshot().readings}
        pid = aggregator.pid
        registry.counter("served", {"kind": "page"}).increment(4)
        registry.close()

    assert "tapes.aggregator.workers" in names
    assert pid is None
    assert aggregator.registry.get_stats().served == {"kind=page": {"value": 7}}
    assert place.report().last("served.kind=page.value") == {"served.kind=page.value": 7}


def test_it_can_be_started_again_here(place: Place) -> None:
    """It goes on with what it knew, and counts nothing twice."""
    aggregator = RegistryAggregator(ThreadedStreamReporter(3600, path=place.report().path), place.address)
    registry = DistributedRegistry(place.address, interval=0.05)
    served = registry.counter("served")
    registry.connect()

    totals = []
    for _ in range(2):
        served.increment(5)
        expected = registry.get_stats().served.value
        with running_here(aggregator):
            until(lambda: aggregator.registry.get_stats().get("served", {}).get("value") == expected, "it is told")  # noqa: B023
        totals.append(place.report().last("served.value"))
    registry.close(1)

    assert totals == [{"served.value": 5}, {"served.value": 10}]


def test_stop_before_start_is_no_stop_of_the_next(place: Place) -> None:
    """Who stops what does not run has stopped nothing."""
    aggregator = RegistryAggregator(ThreadedStreamReporter(3600, path=place.report().path), place.address)
    aggregator.stop()

    with running_here(aggregator):
        until(place.report().documents, "it works")

    assert len(place.report().documents()) == 2, "the first report and the last"


def test_a_process_may_be_worker_and_aggregator(place: Place) -> None:
    """One that merges in a thread and counts itself is seen in its own picture."""
    program = place.run("""
        registry = worker_registry()
        aggregating = aggregator(stream(HOUR))
        thread = threading.Thread(target=aggregating.start, args=(False,))
        thread.start()
        until((FOLDER / "a").exists)
        registry.connect()
        registry.counter("served").increment(3)
        children = [forked(lambda: registry.counter("served").increment(10)) for _ in range(2)]
        join(*children)
        registry.close()
        aggregating.stop()
        thread.join()
    """)

    place.check(program, last={"served.value": 23})


def test_an_exit_while_it_runs_in_a_thread(place: Place) -> None:
    """An interpreter that exits while a daemon thread runs the aggregator makes the last reports, and does not hang."""
    program = place.run("""
        registry = worker_registry()
        aggregating = aggregator(stream(HOUR), stream(name="live"))
        threading.Thread(target=aggregating.start, args=(False,), daemon=True).start()
        registry.connect()
        registry.counter("served").increment(3)
        noted("seen")
        registry.close()
    """)
    place.report("live").await_last({"served.value": 3})
    place.note("seen")

    place.check(program, last={"served.value": 3})


@pytest.mark.parametrize("before", [(700, 10, 10), (50_000, 5, 1000), (0, 10, 10)])
def test_while_it_runs_garbage_is_looked_for_less_often(place: Place, before: Tuple[int, int, int]) -> None:
    """Never more often than the program wants it, nor at all where it does without, and as before when it has ended."""
    usual = gc.get_threshold()
    gc.set_threshold(*before)
    try:
        aggregator = RegistryAggregator(ThreadedStreamReporter(3600, path=place.report().path), place.address)
        with running_here(aggregator):
            meanwhile = gc.get_threshold()
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*usual)

    assert after == before
    if before[0]:
        assert meanwhile == (max(before[0], 10_000), max(before[1], 20), max(before[2], 50))
    else:
        assert meanwhile == before
