"""A worker exits within its deadline whatever has become of its aggregator, and says what may be lost."""

from __future__ import annotations

import signal
import time

import pytest

from tests.distributed.patience import HASTY
from tests.distributed.whole.programs import Place, Program
from tests.servers.processes import free_port, until

WORKERS = "tapes.aggregator.workers.value"
UNCONFIRMED = "has confirmed its last report"

IN_TIME = 30.0
"""Seconds for what has a deadline of five, on a machine that is busy. Without that deadline it takes longer."""

# The time of the exit is noted when the program has nothing more to do.
WORKER = """
registry, served = counting(*sys.argv[1:2], insecure=True)
registry.connect()
served.increment(10)
noted("gone")
served.increment(1)
atexit.register(lambda: (FOLDER / "exits").write_text(str(time.monotonic())))
"""


def supervise(place: Place, address: str = "") -> Program:
    """Run an aggregator."""
    return place.supervise(place.config("insecure = true", address=address))


def exit_took(place: Place, worker: Program) -> float:
    """Wait until a worker has ended well, and return how many seconds it has taken for that."""
    status = worker.ended()
    took = time.monotonic() - float((place.folder / "exits").read_text())
    assert status == 0, worker.said()
    return took


@pytest.mark.parametrize("way", ["ipc", "tcp"])
@pytest.mark.parametrize("end", ["SIGKILL", "SIGSTOP", "SIGTERM"])
def test_an_aggregator_that_is_gone_holds_up_no_exit(place: Place, way: str, end: str) -> None:
    """Killed, stopped in good order or standing still: the worker exits in time and logs one line."""
    address = f"tcp://127.0.0.1:{free_port()}" if way == "tcp" else place.address
    supervised = supervise(place, address)
    worker = place.run(WORKER, address, **HASTY)
    place.expect({"served.value": 10})
    if end == "SIGSTOP":
        supervised.pause()
    else:
        supervised.signal(signal.Signals[end])
        supervised.ended()
    place.note("gone")
    took = exit_took(place, worker)

    assert took < IN_TIME
    assert [UNCONFIRMED in line for line in worker.lines()] == [True]


def test_an_aggregator_that_takes_nothing_any_more_holds_up_no_exit(place: Place) -> None:
    """Although what a worker has to tell fills every buffer on the way to one that stands still, it exits in time."""
    supervised = supervise(place)
    worker = place.run(
        """
        registry = worker_registry(interval=0.01)
        counters = [registry.counter(f"shop.{'x' * 200}.{number}") for number in range(10_000)]
        registry.connect()
        counters[0].increment()
        noted("gone")
        for _ in range(200):
            for counter in counters:
                counter.increment()
            time.sleep(0.01)
        atexit.register(lambda: (FOLDER / "exits").write_text(str(time.monotonic())))
    """,
        **HASTY,
    )
    place.expect({f"shop.{'x' * 200}.0.value": 1})
    supervised.pause()
    place.note("gone")
    took = exit_took(place, worker)

    assert took < IN_TIME
    assert "Traceback" not in worker.said()
    assert 1 <= len(worker.lines()) <= 2  # that nothing is read, and that nothing is confirmed or was given up


def test_close_returns_when_its_time_is_over(place: Place) -> None:
    """`close(timeout)` waits so long at most, and what has not been told can be told after another `connect()`."""
    supervised = supervise(place)
    worker = place.run("""
        registry, served = counting()
        registry.connect()
        served.increment(10)
        noted("paused")
        served.increment(1)
        began = time.monotonic()
        registry.close(timeout=0.3)
        print(time.monotonic() - began < 30)
        note("closed")
        noted("resumed")
        until(lambda: not publishers(), "the one that was given up has ended")
        registry.connect()
        served.increment(100)
        registry.close()
    """)
    place.expect({"served.value": 10})
    supervised.pause()
    place.note("paused")
    place.await_note("closed")
    supervised.resume()
    place.note("resumed")

    place.check(worker, said=None)
    assert "True" in worker.lines()
    assert "did not stop within 0.3 s" in worker.said()
    place.expect({"served.value": 111})


def test_a_worker_that_is_killed_loses_what_it_has_not_published(place: Place) -> None:
    """What it has counted since it has published is missing, and nothing else."""
    supervised = supervise(place)
    worker = place.run("""
        import contextlib

        from tapes.errors import ReporterError

        registry = Registry()
        reporter = ZmqReporter(HOUR, ADDRESS, registry)
        registry.counter("served").increment(1000)

        def publish():
            with contextlib.suppress(ReporterError):  # that there is no connection yet
                reporter.report()
            return (FOLDER / "seen").exists()

        until(publish)
        registry.counter("served").increment(7)
        os.kill(os.getpid(), signal.SIGKILL)
    """)

    place.check(worker, seen={"served.value": 1000, WORKERS: 1}, status=-signal.SIGKILL)
    place.expect({"served.value": 1000, WORKERS: 0})
    assert supervised.terminated() == 0
    assert place.report().last("served.value") == {"served.value": 1000}


def test_a_worker_that_ctrl_c_ends_loses_nothing(place: Place) -> None:
    """The interpreter exits, and everything has been told."""
    supervise(place)
    worker = place.run("""
        registry = worker_registry(interval=HOUR)
        registry.connect()
        registry.counter("served").increment(7)
        registry.timer("latency").update(1)
        os.kill(os.getpid(), signal.SIGINT)
    """)
    worker.ended()

    assert UNCONFIRMED not in worker.said()
    place.expect({"served.value": 7, "latency.count": 1})


@pytest.mark.parametrize("way", ["exit", "fork", "spawn"])
def test_a_worker_with_much_to_tell_at_its_end_loses_nothing(place: Place, way: str) -> None:
    """A last report of many series, in frames of more than a hundred kilobytes, is told as any other."""
    supervise(place)
    worker = place.run(f"""
        registry = worker_registry(interval=HOUR)
        names = [f"shop.{{'x' * 100}}.{{number}}" for number in range(3_000)]

        def work(number):
            registry.connect()
            for name in names:
                registry.counter(name).increment(1)
            registry.close()
            registry.connect()
            for name in names:
                registry.counter(name).increment(2)
            registry.counter("served").increment(number)

        if __name__ == "__main__":
            if {way!r} == "exit":
                work(7)
            else:
                processes({way!r}, work, 7)
    """)

    place.check(worker)
    place.expect({"served.value": 7, **{f"shop.{'x' * 100}.{number}.value": 3 for number in (0, 1_500, 2_999)}})


def test_a_worker_that_never_stops_recording_exits_all_the_same(place: Place) -> None:
    """Threads that record while the interpreter exits do not keep the last report from coming to its end."""
    supervise(place)
    worker = place.run("""
        registry, served = counting(interval=0.01)
        registry.connect()

        def record():
            while True:
                served.increment()

        for _ in range(4):
            threading.Thread(target=record, daemon=True).start()
        noted("seen")
        atexit.register(lambda: (FOLDER / "exits").write_text(str(time.monotonic())))
    """)
    until(lambda: place.report().last("served.value")["served.value"], "it is seen")
    place.note("seen")
    took = exit_took(place, worker)

    assert took < IN_TIME
    assert worker.said() == ""
