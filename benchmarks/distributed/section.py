"""The results of several processes as markdown. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.distributed.chart import Curve, Panel, chart
from benchmarks.distributed.results import Distributed, Ended, Flush, Load, Pauses, Reading, Recording
from benchmarks.distributed.workload import EVENTS, SERIES, SMALL, WORKERS
from benchmarks.report import Row, amount, comparison, verdict

SAME = 1.1
"""How much of what it costs in a local registry an operation may cost in a connected one and still count as the same:
what two measurements of the same thing differ by on a busy machine."""

ONE_CORE = 1.0
LAG = 2.0
STILL = 0.02
"""The most that an aggregator may take, and the seconds after which everybody's values are to be seen and
for which an application may stand still."""

PICTURE = "dead-workers.svg"


def section(results: Distributed) -> str:
    """Return the part of the page that is about several processes."""
    return f"""\
Beside prometheus_client in its multiprocess mode, which keeps the values of each process in files that are mapped into
memory and that whoever collects reads.

### Recording

{_recording(results.recording)}

- As above; both registries of tapes are in one process, in which the connected one publishes every second to an
  aggregator in another process. prometheus_client is in a third, since its mode is chosen when it is imported. They are
  measured in turns, and the fastest round of all turns counts.
- A connected registry counts as costing the same up to {SAME - 1:.0%} more, by which two measurements of the same thing
  differ here. What publishing takes besides is below.

### Reading {WORKERS} workers with {SERIES:,} histograms each

{_reading(results.reading)}

- All workers are processes. Those of prometheus_client have ended, which makes no difference to it; those of tapes are
  connected and idle but for what they are told to record.
- What is read is `MultiProcessCollector.collect()` there, and here `get_stats()` of the unified registry, with its
  quantiles. tapes has done part of the work before, when the values arrived: that is in the figures of the next table.
- Both are the processor time of the thread that reads, the least of several reads.
- Memory is the most that the process that reads had in use, the interpreter and the libraries included.

### {WORKERS} workers with {SERIES:,} timers each, all of them in use

{_load(results.load)}

- So many real workers do not fit on two cores. What they would send was made beforehand by the publishing code of
  {results.load.different} workers, with {SERIES:,} timers each that have recorded {EVENTS} latencies a second, and some
  in the minutes before. Two processes send it over the socket of the aggregator, under {WORKERS} identities, once a
  second for {results.load.flushes} s, all {WORKERS} at the same moment, which is the worst case.
- The lag is from that moment to the end of a read that shows all of it. There is one such read of all statistics a
  second, whose processor time is part of that of the aggregator. A new slot of 50 s begins meanwhile, when what is over
  is merged for good.
- The worker is a real one, which records to {SERIES:,} timers all the time. Publishing is all of its processor time but
  that of the thread that records. Its memory is what it has more than before it connected.

### An application that records to {results.pauses.timers:,} timers

{_pauses(results.pauses)}

- A loop records to one timer after the other, without a pause. Its registry is published, sent to a StatsD and
  fetched as a page by another process, all three each second, with all timers having changed. What counts is the
  longest time between two records, in {results.pauses.seconds:g} s.
- The threads that publish and report give up their turn every 2 ms, but there are three of them, and the interpreter
  looks for garbage among what is new. It would take much longer to look through all objects of the program, for which
  tapes gives no cause. The first 12 s are left out, in which the program grows.

### Workers that have ended

![Time of a read, files and memory over the number of workers that have ended, for both libraries]({PICTURE})

{_ended(results.ended)}

- Each worker is a forked process that records once to {SMALL["counter"]} counters, {SMALL["histogram"]} histograms and
  {SMALL["gauge"]} gauges and ends: with tapes after a last report that the aggregator confirms, and with
  prometheus_client followed by its `mark_process_dead`, which removes the files of such gauges. Its other files stay.
- prometheus_client is read by a new process each time, and its memory is the most that this one had in use; the
  aggregator of tapes is the same process from beginning to end. Files are as long as they say, part of which is not
  written to; those of tapes are the socket of its aggregator and the lock beside it.

### On the wire

{_flushes(results.flushes)}

- One flush of one worker with {SERIES:,} timers, all frames together, half-way through a slot of 50 s. It tells of each
  timer that has changed how its values are spread since the slot began: what grows with the events is only how many
  buckets there are, some hundred to each timer at the most, and how many bytes their counts take.
"""


def picture(ended: Sequence[Ended]) -> str:
    """Return the picture of what ended workers leave behind, as SVG."""
    theirs, ours = "prometheus_client, multiprocess", "tapes"
    return chart(
        "What workers that have ended cost",
        [point.workers for point in ended],
        "workers that have ended",
        [
            Panel(
                "Time of a read",
                "s",
                [Curve(theirs, [p.prometheus_read for p in ended]), Curve(ours, [p.read for p in ended])],
            ),
            Panel(
                "Files",
                "MB",
                [Curve(theirs, [p.prometheus_disk / 1e6 for p in ended]), Curve(ours, [p.disk / 1e6 for p in ended])],
            ),
            Panel(
                "Memory of the reader",
                "MB",
                [
                    Curve(theirs, [p.prometheus_memory / 1e6 for p in ended]),
                    Curve(ours, [p.memory / 1e6 for p in ended]),
                ],
            ),
        ],
    )


def _recording(measured: Sequence[Recording]) -> str:
    lines = [
        "| | prometheus_client | tapes, local | tapes, connected | beside local | target | met |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for each in measured:
        ratio = each.connected / each.local
        lines.append(
            f"| {each.operation} | {amount(each.prometheus, 'ns')} | {amount(each.local, 'ns')} "
            f"| {amount(each.connected, 'ns')} | {ratio - 1:+.0%} | the same | {verdict(ratio <= SAME)} |"
        )
    return "\n".join(lines)


def _reading(measured: Reading) -> str:
    theirs = measured.prometheus * 1e3
    return comparison(
        [
            Row("after all workers have published other values", "ms", theirs, measured.changed * 1e3, 1 / 20),
            Row("once more", "ms", theirs, measured.unchanged * 1e3, 1 / 20),
            Row("memory of the reader", "MB", measured.prometheus_memory / 1e6, measured.tapes_memory / 1e6, None),
        ]
    )


def _load(measured: Load) -> str:
    lags = sorted(measured.lags)
    rows = [
        (
            "processor time of the aggregator",
            f"{measured.processor:.2f} s a second",
            f"< {ONE_CORE:g} s",
            verdict(measured.processor < ONE_CORE),
        ),
        ("lag, median", f"{lags[len(lags) // 2]:.2f} s", "", ""),
        ("lag, worst", f"{lags[-1]:.2f} s", f"< {LAG:g} s", verdict(lags[-1] < LAG)),
        ("lag when all workers publish everything again", f"{measured.anew:.2f} s", "", ""),
        ("processor time of such a read", amount(measured.read * 1e3, "ms"), "", ""),
        ("received", f"{measured.received / 1e6:.1f} MB a second", "", ""),
        ("memory of the aggregator", amount(measured.memory / 1e6, "MB"), "", ""),
        ("memory of the aggregator, most", amount(measured.most / 1e6, "MB"), "", ""),
        ("publishing in a worker", f"{measured.worker.publishing * 1e3:,.0f} ms a second", "", ""),
        ("recording in that worker, to compare", f"{measured.worker.recording * 1e3:,.0f} ms a second", "", ""),
        ("memory of publishing in a worker", amount(measured.worker.memory / 1e6, "MB"), "", ""),
    ]
    return "\n".join(["| | | target | met |", "|---|---:|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def _pauses(measured: Pauses) -> str:
    rows = [
        ("longest pause, nothing else going on", amount(measured.alone * 1e3, "ms"), "", ""),
        (
            "longest pause, publishing and reporting",
            amount(measured.longest * 1e3, "ms"),
            f"< {STILL * 1e3:g} ms",
            verdict(measured.longest < STILL),
        ),
        ("pauses of more than that", f"{measured.often}", "", ""),
        ("looks for garbage among all objects", f"{measured.looks}", "", ""),
    ]
    return "\n".join(["| | | target | met |", "|---|---:|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def _ended(measured: Sequence[Ended]) -> str:
    lines = [
        "| workers | prometheus_client: read | files | memory | tapes: read | files | memory |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each.workers:,} | {amount(each.prometheus_read * 1e3, 'ms')} "
        f"| {each.prometheus_files:,}, {each.prometheus_disk / 1e6:.1f} MB "
        f"| {amount(each.prometheus_memory / 1e6, 'MB')} | {amount(each.read * 1e3, 'ms')} "
        f"| {each.files:,}, {each.disk / 1e6:.1f} MB | {amount(each.memory / 1e6, 'MB')} |"
        for each in measured
    ]
    return "\n".join(lines)


def _flushes(measured: Sequence[Flush]) -> str:
    lines = ["| timers that have changed | events of each | bytes |", "|---:|---:|---:|"]
    lines += [f"| {each.changed:,} | {each.events:,} | {each.size:,} |" for each in measured]
    return "\n".join(lines)
