"""What the page with the results says about several processes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from benchmarks.distributed.results import Distributed, Ended, Flush, Load, Pauses, Reading, Recording, Worker
from benchmarks.distributed.section import picture, section

MEASURED = Distributed(
    recording=[Recording("increment", 900.0, 70.0, 71.4), Recording("update", 2_000.0, 200.0, 230.0)],
    reading=Reading(1.5, 0.05, 0.1, 120e6, 90e6),
    load=Load(
        flushes=3,
        different=2,
        processor=0.5,
        lags=[0.7, 2.5, 0.6],
        read=0.08,
        anew=4.0,
        received=17e6,
        memory=200e6,
        most=300e6,
        worker=Worker(0.005, 0.03, 2e6),
    ),
    ended=[Ended(4, 0.003, 5e5, 8, 28e6, 0.001, 0, 1, 26e6), Ended(2_000, 0.9, 2.6e8, 4_000, 75e6, 0.001, 0, 1, 27e6)],
    flushes=[Flush(0, 10, 52), Flush(1_000, 10, 526_128)],
    pauses=Pauses(20_000, 30.0, alone=0.004, longest=0.021, often=1, looks=2),
)


def test_a_connected_registry_costs_the_same_within_what_measurements_differ_by() -> None:
    """Ten percent more than in a local registry count as the same, more does not."""
    page = section(MEASURED)

    assert "| increment | 900 ns | 70 ns | 71 ns | +2% | the same | yes |" in page
    assert "| update | 2,000 ns | 200 ns | 230 ns | +15% | the same | **no** |" in page


def test_reading_is_compared_with_the_files_of_the_other_library() -> None:
    """A twentieth of its time is the target; memory is only told."""
    page = section(MEASURED)

    assert "| after all workers have published other values | 1,500 ms | 50 ms | 1/30.0 | <= 1/20 | yes |" in page
    assert "| once more | 1,500 ms | 100 ms | 1/15.0 | <= 1/20 | **no** |" in page
    assert "| memory of the reader | 120 MB | 90 MB | 1/1.3 | | |" in page


def test_the_worst_lag_is_the_one_that_counts() -> None:
    """An aggregator stays within a core, and nobody's values are older than two seconds at any time."""
    page = section(MEASURED)

    assert "| processor time of the aggregator | 0.50 s a second | < 1 s | yes |" in page
    assert "| lag, median | 0.70 s |  |  |" in page
    assert "| lag, worst | 2.50 s | < 2 s | **no** |" in page


def test_what_ended_workers_leave_is_a_table_and_a_picture() -> None:
    """Both have the same numbers, of both libraries."""
    page = section(MEASURED)
    drawn = ElementTree.fromstring(picture(MEASURED.ended))

    assert "| 2,000 | 900 ms | 4,000, 260.0 MB | 75 MB | 1.0 ms | 1, 0.0 MB | 27 MB |" in page
    assert "(dead-workers.svg)" in page
    said = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"0.9", "0.001", "260", "0", "75", "27"} <= said


def test_flushes_are_told_by_what_has_changed() -> None:
    """A row for each number of changed timers and of events."""
    page = section(MEASURED)

    assert "| 0 | 10 | 52 |" in page
    assert "| 1,000 | 10 | 526,128 |" in page


def test_the_longest_pause_is_the_one_that_counts() -> None:
    """An application never stands still for more than 20 ms; what it does by itself is told beside it."""
    page = section(MEASURED)

    assert "### An application that records to 20,000 timers" in page
    assert "| longest pause, nothing else going on | 4.0 ms |  |  |" in page
    assert "| longest pause, publishing and reporting | 21 ms | < 20 ms | **no** |" in page
    assert "| pauses of more than that | 1 |  |  |" in page
