"""Both libraries beside each other: recording, reading, and what ended workers leave behind."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.distributed.address import aggregator, multiprocess_folder
from benchmarks.distributed.child import Child
from benchmarks.distributed.results import Ended, Reading, Recording
from benchmarks.distributed.workload import SERIES, SMALL, WORKERS

PATIENCE = 60.0
VALUES = 20
"""How many values each histogram has that is read."""


def recording(turns: int, rounds: int) -> list[Recording]:
    """Return what the operations cost with prometheus_client and with tapes, in turns."""
    theirs: dict[str, float] = {}
    local: dict[str, float] = {}
    connected: dict[str, float] = {}
    with (
        multiprocess_folder() as environment,
        Child("theirs", environment=environment) as prometheus,
        aggregator() as (address, _),
        Child("ours") as tapes,
    ):
        for _turn in range(turns):
            _keep_least(theirs, prometheus.ask("operations", rounds))
            for least, costs in zip((local, connected), tapes.ask("operations", address, rounds)):
                _keep_least(least, costs)
    return [Recording(operation, theirs[operation], local[operation], connected[operation]) for operation in theirs]


def reading(rounds: int) -> Reading:
    """Return what it takes to read 32 workers with 1,000 histograms each. All of them are real processes."""
    with multiprocess_folder() as environment:
        with Child("theirs", environment=environment) as prometheus:
            prometheus.ask("histograms", WORKERS, SERIES, VALUES)
        with Child("theirs", environment=environment) as collector:
            theirs = collector.ask("read", rounds)
    _check(theirs["counted"], WORKERS * SERIES * VALUES)
    with aggregator() as (address, asked), Child("ours") as tapes:
        tapes.ask("histograms", address, WORKERS, SERIES, VALUES)
        counted = WORKERS * SERIES * VALUES
        _wait(asked, "histogram", counted)
        changed = float("inf")
        for _ in range(rounds):
            tapes.ask("again")
            counted += WORKERS * SERIES
            _wait(asked, "histogram_0", counted // SERIES)
            time.sleep(2)  # until every worker has published, and only the read is left to be done
            changed = min(changed, asked.ask("read", 1))
        _check(asked.ask("counted", "histogram"), counted)
        unchanged = asked.ask("read", rounds)
        ours = asked.ask("usage")
        tapes.ask("leave")
    return Reading(theirs["seconds"], changed, unchanged, theirs["most"], ours["most"])


def ended(marks: list[int], rounds: int) -> list[Ended]:
    """Return what is left of workers that have recorded a little and ended, at some numbers of them."""
    points = []
    with (
        multiprocess_folder() as environment,
        Child("theirs", environment=environment) as prometheus,
        aggregator() as (address, asked),
        Child("ours") as tapes,
    ):
        so_far = 0
        for mark in marks:
            prometheus.send("short_lived", mark - so_far)
            tapes.ask("short_lived", address, mark - so_far)
            prometheus.receive()
            so_far = mark
            with Child("theirs", environment=environment) as collector:  # which has read nothing before
                theirs = collector.ask("read", rounds)
            files = prometheus.ask("files")
            counted = mark * (SMALL["counter"] + SMALL["histogram"])
            _check(theirs["counted"], counted)
            _wait(asked, "", counted)
            usage = asked.ask("usage")
            left = [entry.stat() for entry in Path(address.partition("://")[2]).parent.iterdir()]
            points.append(
                Ended(
                    mark,
                    theirs["seconds"],
                    files["length"],
                    files["files"],
                    theirs["most"],
                    asked.ask("read", rounds),
                    sum(each.st_size for each in left),
                    len(left),
                    usage["memory"],
                )
            )
    return points


def _keep_least(least: dict[str, float], costs: dict[str, float]) -> None:
    for operation, cost in costs.items():
        least[operation] = min(cost, least.get(operation, cost))


def _wait(asked: Child, path: str, expected: float) -> None:
    """Wait until the aggregator has counted what is expected."""
    deadline = time.monotonic() + PATIENCE
    while asked.ask("counted", path) != expected:
        if time.monotonic() > deadline:
            _check(asked.ask("counted", path), expected)
        time.sleep(0.05)


def _check(counted: float, expected: float) -> None:
    """Raise RuntimeError unless everything has been counted: what is not right need not be measured."""
    if counted != expected:
        raise RuntimeError(f"{counted:,.0f} were counted, not {expected:,.0f}.")
