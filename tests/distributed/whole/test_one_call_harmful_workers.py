"""Workers that harm, by one call: the others keep their numbers, and memory is bounded."""

from __future__ import annotations

from pathlib import Path

from tests.distributed.whole.one_call import CALL, configured
from tests.distributed.whole.programs import Place
from tests.servers.processes import until

LEFT_OUT = "tapes.aggregator.left_out.value"
OTHER = CALL + "served.increment(7); noted('end')"


def ended(at_log: str) -> str:
    """Return the log that stays when an aggregator had something to warn of, and remove it."""
    log = Path(at_log)
    said = log.read_text()
    log.unlink()
    return said


def test_a_worker_that_makes_names_without_end_harms_no_other(place: Place) -> None:
    """There are no more series than there may be, and a line of the log says so."""
    at = configured(place, "max_series = 100")
    other = place.run(OTHER)
    place.report().await_last({"served.value": 7})
    endless = "for number in range(5_000):\n    tapes.counter(f'of{number}').increment()\nnoted('end')"
    harmful = place.run(CALL + endless)
    until(lambda: (place.report().last(LEFT_OUT)[LEFT_OUT] or 0) >= 4_900, "all that is left out is counted")
    figures = {"tapes.aggregator.series.value": 100, "served.value": 7}

    assert place.report().await_last(figures) == figures
    place.note("end")
    assert [each.ended() for each in (other, harmful)] == [0, 0]
    until(lambda: not Path(at.lock).exists(), "the aggregator has ended")
    assert ended(at.log).count("100 series") in (1, 2)  # its own, and those of all


def test_kinds_that_clash_both_keep_their_numbers(place: Place) -> None:
    """One of them has another name in the picture, as one line of the log says."""
    at = configured(place)
    first = place.run(CALL + "tapes.counter('work.done').increment(3); noted('end')")
    place.report().await_last({"work.done.value": 3})
    second = place.run(CALL + "tapes.meter('work.done').mark(5); noted('end')")
    figures = {"work.done.value": 3, "work.done_meter.count": 5}

    assert place.report().await_last(figures) == figures
    place.note("end")
    assert [each.ended() for each in (first, second)] == [0, 0]
    until(lambda: not Path(at.lock).exists(), "the aggregator has ended")
    assert ended(at.log).count("shows the meter 'work.done' of") == 1
