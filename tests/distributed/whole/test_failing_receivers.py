"""An aggregator that cannot take in anything any more ends, and does not go on to show what once was."""

from __future__ import annotations

import pytest

from tests.distributed.whole.programs import Place
from tests.servers.processes import until

FAILING = """
from tapes.distributed.unified import UnifiedRegistry

tidy = UnifiedRegistry.tidy

def tidy_or_fail(unified, now=None):
    if (FOLDER / "fails").exists():
        raise MemoryError("There is no room.")
    tidy(unified, now)

UnifiedRegistry.tidy = tidy_or_fail
"""


@pytest.mark.parametrize("options", ["", 'state_path=FOLDER / "state"'])
def test_a_forked_one_logs_why_it_ends_and_can_be_started_again(place: Place, options: str) -> None:
    """It reports what it has been told, its parent sees that it is gone, and the next one is told everything."""
    program = place.run(f"""{FAILING}
registry, served = counting()
registry.connect()
aggregating = aggregator({options})
aggregating.start()
served.increment(3)
noted("fails")
until(lambda: aggregating.pid is None, "it has ended")
served.increment(4)
(FOLDER / "fails").unlink()
aggregating.start()
noted("seen")
registry.close()
aggregating.stop()
""")

    place.expect({"served.value": 3}, "fails")
    place.check(program, seen={"served.value": 7}, said=None)
    lines = program.lines()
    assert lines[0] == "ERROR tapes.distributed: The aggregator has ended."
    assert lines[1].startswith("Traceback")
    assert [line for line in lines[2:] if not line.startswith(" ")] == ["MemoryError: There is no room."]


@pytest.mark.parametrize("reporter", ["ThreadedStreamReporter", "TornadoStreamReporter"])
def test_one_that_was_not_forked_raises_what_it_has_failed_of(place: Place, reporter: str) -> None:
    """After the last reports. A program that does not handle it fails, which tells its supervisor to start another."""
    program = place.run(f"""{FAILING}
from tapes.reporting.tornado.stream import TornadoStreamReporter

aggregator({reporter}(HOUR, path=FOLDER / "report"), stream(name="live")).start(fork=False)
""")
    worker = place.run("""
        registry = worker_registry()
        registry.connect()
        registry.counter("served").increment(3)
        noted("ended")
        os._exit(0)
    """)
    seen = place.report("live").await_last({"served.value": 3})
    place.note("fails")

    assert seen == {"served.value": 3}
    place.check(program, last={"served.value": 3}, said=None, status=1)
    place.note("ended")
    place.check(worker)
    assert program.lines()[-1] == "MemoryError: There is no room."


def test_one_that_fails_in_its_last_moment_raises_that_too(place: Place) -> None:
    """When it has been told to end, and has made its last reports."""
    program = place.run(f"""{FAILING}
from tapes.distributed import receiver

stop = receiver.Receiver.stop

def fail_and_stop(receiving, timeout):
    note("fails")
    return stop(receiving, timeout)

receiver._TIDY = 0
receiver.Receiver.stop = fail_and_stop
aggregator(stream(HOUR)).start(fork=False)
""")
    until(place.report().documents, "it has reported")
    status = program.terminated()

    assert status == 1
    assert len(place.report().documents()) == 2, "the first report and the last"
    assert program.lines()[-1] == "MemoryError: There is no room."
