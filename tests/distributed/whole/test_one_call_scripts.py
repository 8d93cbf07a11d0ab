"""One call in scripts that do not live for long, and in commands that record nothing."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.distributed.one_call import AT_THE_END, BESIDE, OneCall
from tests.distributed.whole.programs import Place, Program

JOB = """
import time

from application import configuration, served

served.increment(1)
time.sleep(0.5)
"""


def job(one: OneCall, elsewhere: Path) -> Program:
    """Run a job that imports the application, from another working directory, as cron does."""
    return one.place.command([sys.executable, str(one.folder / "job.py")], {}, elsewhere)


def test_jobs_are_counted_that_run_at_once_and_one_after_the_other(place: Place, tmp_path: Path) -> None:
    """Whichever directory they run in. The aggregator that they have started ends by itself."""
    one = OneCall(place, interval=AT_THE_END)
    one.application(path=BESIDE)
    (place.folder / "job.py").write_text(JOB)
    for started in (10, 1, 1):
        jobs = [job(one, tmp_path) for _ in range(started)]
        assert [(each.ended(), each.said()) for each in jobs] == [(0, "")] * started

    one.check(12)
    assert list(tmp_path.iterdir()) == []


COMMAND = """
import time

import application

application.tapes.gauge("load", lambda: 1)
time.sleep(0.6)
"""
SERVER = "import time, application; application.served.increment(); time.sleep(600)"


@pytest.mark.parametrize("is_served", [False, True], ids=["alone", "while-it-is-served"])
def test_a_command_that_imports_the_application_counts_as_nobody(place: Place, is_served: bool) -> None:
    """It boots, starts nothing, and is no worker beside the server: `flask routes`, or `manage.py check`."""
    one = OneCall(place)
    one.application()
    if is_served:
        server = place.command([sys.executable, "-c", SERVER], {}, one.folder)
        place.expect({"served.value": 1, "tapes.aggregator.workers.value": 1})
    command = place.command([sys.executable, "-c", COMMAND], {}, one.folder)

    assert (command.ended(), command.said()) == (0, "")
    assert set(place.report().history("load.value")) <= {None}
    if is_served:
        assert max(place.report().history("tapes.aggregator.workers.value")) == 1
        server.terminated()
        one.check(1)
    assert one.left_over() == []


def test_a_worker_of_a_moment_is_waited_for_no_longer_than_others(place: Place) -> None:
    """An aggregator waits ten seconds for its first worker, and `linger` after one that it may not even have seen."""
    one = OneCall(place)
    one.application("served.increment(1)")
    script = place.command([sys.executable, "application.py"], {}, one.folder)

    assert (script.ended(), script.said()) == (0, "")
    one.check(1)
    times = [datetime.fromisoformat(each["tapes.report"]["time"][:-1]) for each in place.report().documents()]
    assert times[-1] - times[0] < timedelta(seconds=8)
