"""Measure, print the results, and write them to RESULTS.md.

python -m benchmarks            some minutes; writes benchmarks/RESULTS.md and benchmarks/dead-workers.svg
python -m benchmarks --quick    a minute; prints only
"""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata
from pathlib import Path

from benchmarks.accuracy import worst_errors
from benchmarks.distributed.measuring import measure
from benchmarks.distributed.section import PICTURE, picture, section
from benchmarks.encoders import encoders
from benchmarks.footprint import bytes_each, import_milliseconds
from benchmarks.operations import floors, pairs
from benchmarks.report import Row, comparison, page
from benchmarks.report import encoders as encoder_table
from benchmarks.report import floors as floor_table
from benchmarks.report import reports as report_table
from benchmarks.reporting import costs as costs_of_reports
from benchmarks.timing import nanoseconds

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Compare the costs of tapes and prometheus_client.")
    parser.add_argument("--quick", action="store_true", help="measure little, and write no file")
    options = parser.parse_args()
    print("Measuring ...", flush=True)
    compared = pairs()
    statements = [statement for pair in compared for statement in (pair.prometheus, pair.tapes)]
    costs = nanoseconds([*statements, *floors()], rounds=5 if options.quick else 100)
    imports = import_milliseconds(["prometheus_client", "tapes"], runs=5 if options.quick else 40)
    theirs, ours = worst_errors(2_000 if options.quick else 50_000)
    sizes = bytes_each()
    distributed = measure(options.quick)
    rows = [
        Row(pair.operation, "ns", costs[pair.prometheus.name], costs[pair.tapes.name], pair.target) for pair in compared
    ]
    rows += [
        Row("import", "ms", imports["prometheus_client"], imports["tapes"], 1 / 3),
        Row("an unused histogram", "bytes", sizes["prometheus"], sizes["histogram"], 2_000, is_absolute=True),
        Row("an unused timer", "bytes", sizes["prometheus"], sizes["timer"], 2_000, is_absolute=True),
        Row(
            "a histogram with one value", "bytes", sizes["prometheus"], sizes["used histogram"], 2_000, is_absolute=True
        ),
        Row("a timer with one value", "bytes", sizes["prometheus"], sizes["used timer"], 2_000, is_absolute=True),
        Row("worst error of a quantile", "%", theirs * 100, ours * 100, 1, is_absolute=True),
    ]
    results = page(
        machine(),
        comparison(rows),
        section(distributed),
        report_table(costs_of_reports(runs=1 if options.quick else 7)),
        encoder_table(encoders(runs=1 if options.quick else 7)),
        floor_table({floor.name: costs[floor.name] for floor in floors()}),
    )
    print(results)
    if not options.quick:
        RESULTS.write_text(results)
        RESULTS.with_name(PICTURE).write_text(picture(distributed.ended))
        print(f"Written to {RESULTS}.")


def machine() -> str:
    """Name what the numbers are from."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("tapes-core", "tapes-zmq", "pyzmq", "tornado", "prometheus_client")
    )
    system = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    return f"{os.cpu_count()} cores of {processor()}, {system}, {python}, with {versions}"


def processor() -> str:
    """Return the model of the processor as the system calls it."""
    about = Path("/proc/cpuinfo")
    for line in about.read_text().splitlines() if about.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
