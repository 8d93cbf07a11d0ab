"""Under `python -X dev -W error` nothing is warned of: what is opened is closed, in every process."""

from __future__ import annotations

import re
import sys

import pytest

from tests.distributed.whole.programs import Place, Program
from tests.servers.processes import until

STRICT = ("-X", "dev", "-W", "error")
if sys.version_info >= (3, 12):  # a fork while threads run, which every program with a reporter does
    STRICT += ("-W", "ignore:This process:DeprecationWarning")

SLOW = re.compile(r"^.*Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)
"""A line of asyncio in its debug mode, which a busy machine brings about."""

WORK = """
registry = worker_registry()
served, latency, stock = registry.counter("served"), registry.timer("latency"), registry.gauge("stock")

def work():
    registry.connect()
    stock.set(1)
    with latency.time():
        served.increment()
"""

AGGREGATORS = {
    "forked": """
with aggregator():
    join(*[forked(work) for _ in range(3)])
""",
    "forked and left alone": """
aggregator().start()
join(*[forked(work) for _ in range(3)])
""",
    "forked, with all kinds of reporters": """
import socket

from tapes.reporting.http import HTTPReporter
from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.tornado.http import TornadoHTTPReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter

site = f"ipc://{FOLDER}/site"
with socket.socket(type=socket.SOCK_DGRAM) as statsd, aggregator(stream(name="site.report"), address=site):
    statsd.bind(("127.0.0.1", 0))
    reporters = [
        stream(), HTTPReporter(0), StatsdReporter(0.1, *statsd.getsockname()), ZmqReporter(0.1, site),
        TornadoStreamReporter(0.1, path=FOLDER / "tornado"), TornadoHTTPReporter(0),
    ]
    with aggregator(*reporters, state_path=FOLDER / "state"):
        join(*[forked(work) for _ in range(3)])
""",
    "forked, for workers of multiprocessing": """
with aggregator():
    processes("fork", lambda number: work(), 1, 2, 3)
""",
    "here": """
aggregating = aggregator()
thread = threading.Thread(target=aggregating.start, args=(False,))
thread.start()
until((FOLDER / "a").exists)
join(*[forked(work) for _ in range(3)])
aggregating.stop()
thread.join()
""",
    "forked, for a parent that works": """
with aggregator():
    registry.connect()
    join(*[forked(work) for _ in range(2)])
    work()
    registry.close()
""",
    "forked, and refused": """
with aggregator():
    try:
        aggregator(stream(name="other"), address=f"ipc://{FOLDER}/missing/a").start()
    except OSError:
        pass
    join(*[forked(work) for _ in range(3)])
""",
}


def warned(program: Program) -> str:
    """Return what it has written, but for how slow the machine is."""
    return SLOW.sub("", program.said())


@pytest.mark.parametrize("script", AGGREGATORS.values(), ids=AGGREGATORS)
def test_workers_and_aggregator_leave_nothing_to_warn_of(place: Place, script: str) -> None:
    """However they are made, and however they end."""
    program = place.run(WORK + script, options=STRICT)
    status = program.ended()

    assert (status, warned(program)) == (0, "")
    assert place.report().last("served.value", "latency.count") == {"served.value": 3, "latency.count": 3}


def test_the_command_line_leaves_nothing_to_warn_of(place: Place) -> None:
    """The same holds under a supervisor, with the state kept and by worker."""
    config = place.config(f'state_path = "{place.folder}/state"\nby_worker = true')
    python, *arguments = place.configured(f"{config}[reporters.tornado-http]\nport = 0\n")
    program = place.command([python, *STRICT, *arguments], {})
    until((place.folder / "a").exists, "workers can connect")
    workers = place.run(f"{WORK}\njoin(*[forked(work) for _ in range(3)])", options=STRICT)
    statuses = [workers.ended()]
    place.report().await_last({"served.value": 3})
    statuses.append(program.terminated())

    assert (statuses, warned(workers), warned(program)) == ([0, 0], "", "")
    assert place.report().last("served.value", "latency.count") == {"served.value": 3, "latency.count": 3}


def test_keys_leave_nothing_to_warn_of(place: Place) -> None:
    """Made, used and refused."""
    program = place.run(
        """
        from tapes.distributed import keys
        from tests.servers.processes import free_port

        good, bad = keys.generate(FOLDER / "good"), keys.generate(FOLDER / "bad")
        address = f"tcp://127.0.0.1:{free_port()}"
        with aggregator(address=address, keys=good):
            for folder in (good, bad):
                registry = worker_registry(address, keys=folder)
                registry.counter("served").increment(3)
                registry.connect()
                registry.close()
        """,
        options=STRICT,
    )
    status = program.ended()

    assert status == 0
    assert "Warning" not in program.said()
    assert "Traceback" not in program.said()
    assert place.report().last("served.value") == {"served.value": 3}
