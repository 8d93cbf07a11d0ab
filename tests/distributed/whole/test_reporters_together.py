"""Every reporter that has a name reports on the unified registry: alone, all at once, forked and under a supervisor."""

from __future__ import annotations

import json
import signal
from functools import partial
from typing import Any, Callable, Dict, Iterator, NamedTuple, Sequence

import pytest

from tests.distributed.servers.serving import accepts
from tests.distributed.servers.totals import fetch
from tests.distributed.whole.programs import Figures, Place, Reports, figure
from tests.servers.processes import awaited, free_port
from tests.servers.statsd import StatsD

NAMES = ("http", "statsd", "stream", "tornado-http", "tornado-statsd", "tornado-stream", "zmq")

SHOWN = ("served.value", "latency.count", "stock.value")
AT_STATSD = {"latency.count": "latency.total"}

WORKERS = """
import json
from tapes import plugins

registry = worker_registry()
served, latency, stock = registry.counter("served"), registry.timer("latency"), registry.gauge("stock")

def serve(number):
    for _ in range(100 * number):
        with latency.time():
            served.increment()

def work(number):
    registry.connect()
    stock.set(number)
    serve(number)
    noted("seen")
    serve(number)
    noted("seen.again")
"""

SUPERVISED = f"""
{WORKERS}
join(*[forked(lambda number=number: work(number)) for number in (1, 2, 3)])
"""

FORKING = f"""
{WORKERS}
options = json.loads(sys.argv[1])
with RegistryAggregator([plugins.reporter_class(name)(**options[name]) for name in options], ADDRESS):
    join(*[forked(lambda number=number: work(number)) for number in (1, 2, 3)])
"""


def expected(served: int, stock: object = 6) -> Figures:
    """Return what is to be shown when so much has been served."""
    return dict(zip(SHOWN, (served, served, stock)))


class Outlet(NamedTuple):
    """Where a reporter reports to."""

    options: Dict[str, Any]
    """Of the reporter."""
    show: Callable[[], Figures]
    """Returns what has been reported."""

    def await_figures(self, expected: Figures) -> Figures:
        """Return what has been reported once it is what is expected, or has not become so in time."""
        return awaited(self.show, expected)


Outlets = Dict[str, Outlet]


def page(port: int) -> Outlet:
    """Return the page at a port."""

    def show() -> Figures:
        stats = json.loads(fetch(port)) if accepts(port) else {}
        return {name: figure(stats, name) for name in SHOWN}

    return Outlet({"port": port}, show)


def file(report: Reports) -> Outlet:
    """Return a file."""
    return Outlet({"interval": 0.1, "path": str(report.path)}, partial(report.last, *SHOWN))


def under(prefix: str, server: StatsD) -> Outlet:
    """Return the names under a prefix in a StatsD."""

    def show() -> Figures:
        told = {**server.totals(), **server.gauges()}
        return {name: told.get(f"{prefix}.{AT_STATSD.get(name, name)}") for name in SHOWN}

    return Outlet({"interval": 0.1, "host": server.host, "port": server.port, "prefix": prefix}, show)


def another_aggregator(address: str, report: Reports) -> Outlet:
    """Return an aggregator that writes reports."""
    return Outlet({"interval": 0.1, "socket_addr": address}, partial(report.last, *SHOWN))


def config(outlets: Outlets, address: str) -> str:
    """Return the file of an aggregator with reporters to these outlets."""
    lines = ["[aggregator]", f"socket_addr = {json.dumps(address)}"]
    for name, outlet in outlets.items():
        lines.append(f"[reporters.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in outlet.options.items()]
    return "\n".join(lines) + "\n"


@pytest.fixture
def site(place: Place) -> str:
    """Run another aggregator, and return its address."""
    address = f"ipc://{place.folder}/site"
    place.supervise(place.config(address=address, report="site.report"))
    return address


@pytest.fixture(scope="module")
def shared_statsd() -> Iterator[StatsD]:
    """Run the original StatsD for all tests of the module, which tell their counts by the prefix."""
    with StatsD() as running:
        yield running


def outlet_of(name: str, place: Place, request: pytest.FixtureRequest) -> Outlet:
    """Return an outlet for the reporter of that name."""
    if "http" in name:
        return page(free_port())
    if "statsd" in name:
        return under(f"{place.folder.name}.{name}", request.getfixturevalue("shared_statsd"))
    if name == "zmq":
        return another_aggregator(request.getfixturevalue("site"), place.report("site.report"))
    return file(place.report(name))


def last_words(outlets: Outlets, figures: Figures) -> Dict[str, Figures]:
    """Return what those show that outlive their aggregator, as pages do not, once that is what is expected.

    Of StatsD no gauge: it forgets none. It is sent the last packet before the program ends, and takes it in after that.
    """

    def show(name: str) -> Figures:
        shown = outlets[name].show()
        return {**shown, "stock.value": None} if "statsd" in name else shown

    return {name: awaited(lambda: show(name), figures) for name in outlets if "http" not in name}  # noqa: B023


TOGETHER: Dict[str, Sequence[str]] = {
    "all": NAMES,
    "all-without-tornado": [name for name in NAMES if not name.startswith("tornado")],
    **{f"{name}-alone": [name] for name in ("tornado-http", "tornado-statsd")},
}
"""The reporters of an aggregator, by what they are called here."""


@pytest.mark.parametrize("supervised", [False, True], ids=["forked", "supervised"])
@pytest.mark.parametrize("together", TOGETHER)
def test_reporters_report_on_all_workers(
    together: str, supervised: bool, place: Place, request: pytest.FixtureRequest
) -> None:
    """Each shows the totals of all workers, while they work and, if it outlives the aggregator, when all is over.

    The aggregator is forked, or runs by `python -m tapes.distributed --config FILE` and ends well when it is told to.
    """
    outlets = {name: outlet_of(name, place, request) for name in TOGETHER[together]}
    if supervised:
        aggregator = place.supervise(config(outlets, place.address))
        program = place.run(SUPERVISED)
    else:
        program = place.run(FORKING, json.dumps({name: outlet.options for name, outlet in outlets.items()}))
    for figures, note in ((expected(600), "seen"), (expected(1200), "seen.again")):
        assert {name: outlet.await_figures(figures) for name, outlet in outlets.items()} == dict.fromkeys(
            outlets, figures
        )
        place.note(note)

    place.check(program)
    if supervised:
        aggregator.signal(signal.SIGTERM)
        place.check(aggregator)
    last = last_words(outlets, expected(1200, None))
    assert last == dict.fromkeys(last, expected(1200, None))
