"""The results as markdown. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional


class Row(NamedTuple):
    """One thing that was measured of both libraries."""

    what: str
    unit: str
    prometheus: float
    tapes: float
    target: Optional[float]
    """The part of prometheus_client's that tapes may have or, if `is_absolute`, the most that it may have itself. None
    if it is only told."""
    is_absolute: bool = False

    @property
    def is_met(self) -> bool:
        """Whether tapes stays within the target."""
        if self.target is None:
            return True
        return self.tapes <= (self.target if self.is_absolute else self.target * self.prometheus)


def comparison(rows: Sequence[Row]) -> str:
    """Return the table of both libraries."""
    lines = ["| | prometheus_client | tapes | ratio | target | met |", "|---|---:|---:|---:|---:|---|"]
    for row in rows:
        ratio = f"1/{row.prometheus / row.tapes:.1f}" if row.tapes > 0 else "-"
        measured = f"| {row.what} | {amount(row.prometheus, row.unit)} | {amount(row.tapes, row.unit)} | {ratio} "
        if row.target is None:
            lines.append(measured + "| | |")
        else:
            target = amount(row.target, row.unit) if row.is_absolute else f"1/{1 / row.target:g}"
            lines.append(measured + f"| <= {target} | {verdict(row.is_met)} |")
    return "\n".join(lines)


def floors(costs: dict[str, float]) -> str:
    """Return the table of what nothing written in Python gets below."""
    return "\n".join(["| | ns |", "|---|---:|", *(f"| {what} | {cost:.0f} |" for what, cost in costs.items())])


class Report(NamedTuple):
    """What one report of many metrics costs in an application of Tornado."""

    cpu: float
    """Seconds of processor time, all threads together."""
    longest: float
    """The longest time in seconds for which the event loop did not run."""


LONGEST = 0.05
"""Seconds for which an event loop may be kept from running at a stretch."""


def reports(measured: dict[str, Report]) -> str:
    """Return the table of what reports cost an event loop. The first of them is what the others are compared to."""
    lines = ["| | processor time | loop does not run for up to | target | met |", "|---|---:|---:|---:|---|"]
    for number, (what, report) in enumerate(measured.items()):
        lines.append(
            f"| {what} | {report.cpu * 1e3:,.0f} ms | {report.longest * 1e3:,.0f} ms "
            + (f"| <= {LONGEST * 1e3:.0f} ms | {verdict(report.longest <= LONGEST)} |" if number else "| | |")
        )
    return "\n".join(lines)


class Encoders(NamedTuple):
    """What a snapshot of many metrics costs with the work of an encoder, in seconds of processor time."""

    snapshot: float
    """The snapshot alone."""
    json: float
    """With that of `json`, which computes all statistics."""
    states: float
    """With that of an encoder that reads only states."""
    text: float
    """With that of `prometheus`."""
    native: float
    """With that of native histograms for Prometheus, beside classic ones."""
    otlp: float
    """With that of a request of OTLP."""
    theirs: float
    """The page of prometheus_client with as many histograms, which has no snapshot."""


STATES = 1 / 5
"""The part of what `json` takes that an encoder may take that reads only states."""


def encoders(measured: Encoders) -> str:
    """Return the table of what encoders cost. They are compared to `json`."""
    lines = ["| | processor time | ratio | target | met |", "|---|---:|---:|---:|---|"]
    for what, seconds, target in (
        ("`json`", measured.json, None),
        ("an encoder that reads only states", measured.states, STATES),
        ("`prometheus`, the text", measured.text, None),
        ("protobuf with native histograms", measured.native, None),
        ("OTLP", measured.otlp, None),
        ("the page of prometheus_client, to compare", measured.theirs, None),
        ("the snapshot alone", measured.snapshot, None),
    ):
        met = f"| <= 1/{1 / target:g} | {verdict(seconds <= target * measured.json)} |" if target else "| | |"
        lines.append(f"| {what} | {seconds * 1e3:,.0f} ms | 1/{measured.json / seconds:.1f} {met}")
    return "\n".join(lines)


def page(machine: str, compared: str, distributed: str, reported: str, encoded: str, floor: str) -> str:
    """Return the page with the results."""
    return f"""\
# What tapes costs

Written by `python3 noxfile.py -s bench`, on {machine}.

## Beside prometheus_client

{compared}

- One run on one machine, both libraries in turns: each operation is run 50,000 times a round, the fastest round counts,
  and the loop around it is taken off for both. Garbage collection is on. On another machine the nanoseconds are others;
  the ratios move less.
- tapes puts work off while recording and does it in bulk, so each round ends with a read of all statistics whose time
  is counted. prometheus_client does everything at once, and is not read.
- Both run in one process and one thread. The timer of prometheus_client is its `Histogram.time()`, its histograms have
  the 15 buckets that are the default.
- The import is that of a whole process, less that of a bare interpreter.
- Memory is that of 1,000 of them by `tracemalloc`. A histogram of prometheus_client has all its buckets from the start.
- The error of quantiles is the worst of q50, q75, q95, q98, q99 and q999 over five shapes of latencies, against the
  exact quantile of the same values. That of prometheus_client is found in its buckets as Prometheus does it, linearly
  within a bucket.

## Several processes

{distributed}
## Reports in an event loop

One report of 10,000 timers in a Tornado application that does nothing else.

{reported}

- The loop is asked to run every millisecond, and the longest time in which it did not is what counts; of several runs
  the median. The work is done in another thread, which gives up its turn every 2 ms.
- The first row is what it takes to read all metrics if that is done on the loop, as a reporter of one's own may.
- The page is fetched by another process, over HTTP.

## Encoders

A snapshot of 10,000 timers, and what an encoder makes of it.

{encoded}

- Statistics are computed when somebody looks at them, so an encoder that reads only states pays for no quantiles.
- The page of prometheus_client is its text of as many histograms with its default buckets; `prometheus` has twelve
  buckets for each timer.
- The least of several runs counts. Everything has been folded before.

## Floors

What the parts of such operations cost here, in Python and without any library.

{floor}
"""


def verdict(is_met: bool) -> str:
    """Return what a table says about a target."""
    return "yes" if is_met else "**no**"


def amount(value: float, unit: str) -> str:
    """Return a value for a table, with as many digits as say something."""
    if unit == "%":
        return f"{value:.2f} %" if value < 10 else f"{value:.0f} %"
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
