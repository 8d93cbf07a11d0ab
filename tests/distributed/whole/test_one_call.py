"""One call in any process: `tapes.configure()` of a config with a table `[aggregator]`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tapes.distributed.claims import is_held
from tests.distributed.whole.one_call import CALL, await_end, configured, left_over
from tests.distributed.whole.programs import Place
from tests.servers.processes import until


def test_all_that_forked_processes_count_is_in_one_picture(place: Place) -> None:
    """The aggregator starts by itself, reports what all of them have counted, and leaves nothing behind."""
    at = configured(place)
    program = place.run(CALL + "join(*[forked(lambda: served.increment(100)) for _ in range(4)])")

    assert program.ended() == 0
    assert place.report().await_last({"served.value": 400}) == {"served.value": 400}
    assert program.said() == ""
    await_end(at)


def test_processes_that_begin_at_once_share_one_aggregator(place: Place) -> None:
    """Only one of those that they may start is the one that reports."""
    at = configured(place)
    programs = [place.run(CALL + "served.increment()") for _ in range(6)]

    assert [program.ended() for program in programs] == [0] * 6
    assert place.report().await_last({"served.value": 6}) == {"served.value": 6}
    assert len({document["tapes.report"]["pid"] for document in place.report().documents()}) == 1
    await_end(at)


def test_one_that_is_killed_is_started_again_with_its_totals(place: Place) -> None:
    """A worker that goes on notices; what one that has ended had counted is still there."""
    at = configured(place)
    worker = place.run(CALL + "join(forked(lambda: served.increment(100)))\nserved.increment(10)\nidle()")
    place.report().await_last({"served.value": 110})
    killed = place.report().documents()[-1]["tapes.report"]["pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: place.report().documents()[-1]["tapes.report"]["pid"] != killed, "another one reports")

    assert place.report().await_last({"served.value": 110}) == {"served.value": 110}
    worker.terminated()
    await_end(at)


@pytest.mark.parametrize("deed", ["", "tapes.gauge('load', lambda: 1)"], ids=["nothing", "a producer"])
def test_a_process_that_records_nothing_starts_nothing(place: Place, deed: str) -> None:
    """Like a migration, or a linter that imports the application."""
    at = configured(place)
    program = place.run(CALL + deed + "\ntime.sleep(0.5)")

    assert program.ended() == 0
    assert left_over(at) == []


def test_a_process_that_only_forks_is_no_worker(place: Place) -> None:
    """Its gauges do not count beside those of its children."""
    at = configured(place)
    program = place.run(
        CALL
        + """
tapes.gauge("load", lambda: 1)

def work():
    served.increment()
    while not (FOLDER / "end").exists():
        time.sleep(0.01)

join(*[forked(work) for _ in range(3)])
"""
    )

    assert place.report().await_last({"served.value": 3, "load.value": 3}) == {"served.value": 3, "load.value": 3}
    (place.folder / "end").touch()
    assert program.ended() == 0
    await_end(at)


def test_a_worker_leaves_its_last_report_where_no_aggregator_starts(place: Place) -> None:
    """The next one takes it in: nothing is lost, and the exit waits for nobody."""
    at = configured(place, 'start = "never"')
    program = place.run(CALL + "served.increment(7)")

    assert program.ended() == 0
    assert len(left_over(at)) == 1
    configured(place)
    place.run(CALL + "served.increment(1)").ended()
    assert place.report().await_last({"served.value": 8}) == {"served.value": 8}
    await_end(at)


def test_any_worker_answers_for_all_of_them(place: Place) -> None:
    """What it has recorded itself just before is in the answer, as is what others have published."""
    at = configured(place)
    other = place.run(CALL + "served.increment(100); idle()")
    place.report().await_last({"served.value": 100})
    program = place.run(CALL + "served.increment(1)\nprint(configuration.get_stats().served.value)")

    assert program.ended() == 0
    assert program.said() == "101\n"
    other.terminated()
    await_end(at)


def test_without_an_aggregator_the_page_says_why(place: Place) -> None:
    """With status 503, and never with the numbers of one worker."""
    configured(place, 'start = "never"')
    program = place.run(
        CALL
        + """
from tapes.distributed import reporter
status = []
served.increment()
page = configuration.wsgi()
body = b"".join(page({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda line, headers: status.append(line)))
print(status[0], body.decode().partition(" ipc:")[0])
"""
    )

    assert program.ended() == 0
    assert program.said().splitlines()[0] == "503 Service Unavailable 503 No aggregator answers at"


def test_the_same_config_twice_in_a_process_counts_once(place: Place) -> None:
    """An application is imported a second time, by a reloader for instance."""
    at = configured(place)
    program = place.run(CALL + "tapes.configure(FOLDER / 'tapes.toml')\nserved.increment(3)")

    assert program.ended() == 0
    assert place.report().await_last({"served.value": 3}) == {"served.value": 3}
    await_end(at)


def test_two_registries_of_a_process_are_both_published(place: Place) -> None:
    """By two threads, of which one starts the aggregator."""
    at = configured(place)
    program = place.run(
        CALL
        + """
other = tapes.Registry()
tapes.configure(FOLDER / "tapes.toml", registry=other)
other.counter("served").increment(2)
served.increment(1)
"""
    )

    assert program.ended() == 0
    assert place.report().await_last({"served.value": 3}) == {"served.value": 3}
    await_end(at)


def test_a_config_may_be_a_mapping_with_values_of_python(place: Place) -> None:
    """They are given to the aggregator as a file would have them."""
    program = place.run(
        """
from datetime import timedelta
import tapes
reporter = {"interval": timedelta(seconds=0.05), "path": FOLDER / "report"}
config = {"aggregator": {"linger": 1.5}, "reporters": {"stream": reporter}}
tapes.configure(config)
tapes.counter("served").increment()
"""
    )

    assert program.ended() == 0
    assert place.report().await_last({"served.value": 1}) == {"served.value": 1}


def test_a_service_that_is_restarted_goes_on_with_its_totals(place: Place) -> None:
    """Although its aggregator gets SIGTERM together with its workers, as from a supervisor."""
    at = configured(place)
    worker = place.run(CALL + "served.increment(5); idle()")
    place.report().await_last({"served.value": 5})
    os.kill(place.report().documents()[-1]["tapes.report"]["pid"], signal.SIGTERM)
    worker.terminated()
    until(lambda: not is_held(at.lock), "the aggregator has ended")
    place.run(CALL + "served.increment(1)").ended()

    assert place.report().await_last({"served.value": 6}) == {"served.value": 6}
    await_end(at)


def test_tapes_can_be_disabled(place: Place) -> None:
    """Configs are checked, and nothing is started."""
    at = configured(place)
    program = place.run(CALL + "served.increment(3)", TAPES_DISABLED="1")

    assert program.ended() == 0
    assert left_over(at) == []


def test_a_port_that_is_taken_keeps_nobody_from_working(place: Place) -> None:
    """The reporter is tried again; all others report."""
    at = configured(place)
    path = place.folder / "tapes.toml"
    path.write_text(path.read_text() + "[reporters.http]\nport = 1\nhost = '192.0.2.1'\n")
    program = place.run(CALL + "served.increment(3)")

    assert program.ended() == 0
    assert place.report().await_last({"served.value": 3}) == {"served.value": 3}
    until(lambda: not is_held(at.lock), "the aggregator has ended")
    assert "HTTPReporter(192.0.2.1:1) could not start" in Path(at.log).read_text()
    os.unlink(at.log)
