"""An aggregator that publishes to another: of a host, and then of a site. The totals of both are exact."""

from __future__ import annotations

import os
import sys
from typing import Callable, Dict

import pytest

from tests.distributed.whole.programs import PREAMBLE, Figures, Place, Program
from tests.servers.installed import missing, tool
from tests.servers.processes import free_port

WORK = """
registry = worker_registry(sys.argv[1])
served, latency, stock = registry.counter("served"), registry.timer("latency"), registry.gauge("stock")
up_and_down = registry.counter("up.and.down")

def serve(number):
    for _ in range(number):
        served.increment()
        up_and_down.increment(2)
        up_and_down.decrement()
        latency.update(0.25)

def work(number, *notes):
    registry.connect()
    stock.set(number)
    serve(number)
    for each in notes:
        noted(each)
        serve(number)
"""

WORKERS = f"""
{WORK}
join(*[forked(lambda number=number: work(number, *sys.argv[2:])) for number in (100, 20, 3)])
"""

LEVELS = ("host", "site")


def expected(served: float, stock: object = 123) -> Figures:
    """Return what is to be shown when so much has been served."""
    return {
        "served.value": served,
        "up.and.down.value": served,
        "latency.count": served,
        "latency.sum": served / 4,
        "latency.min": 0.25,
        "latency.max": 0.25,
        "stock.value": stock,
    }


class Chain:
    """The aggregators of a host and of a site."""

    def __init__(self, place: Place, way: str, *, kept: bool = False) -> None:
        """Start both. `kept` gives each a file for its state."""
        self.place = place
        self.site_address = f"tcp://127.0.0.1:{free_port()}" if way == "tcp" else f"ipc://{place.folder}/site"
        state = {level: f'state_path = "{place.folder}/{level}.state"' if kept else "" for level in LEVELS}
        self._configs = {
            level: place.config(f"insecure = true\n{state[level]}", address=address, report=f"{level}.report")
            for level, address in (("site", self.site_address), ("host", place.address))
        }
        self._configs["host"] += (
            f'[reporters.zmq]\ninterval = 0.1\nsocket_addr = "{self.site_address}"\ninsecure = true\n'
        )
        self.processes: Dict[str, Program] = {}
        for level in LEVELS:
            self.start(level)

    def start(self, level: str) -> None:
        """Start one of them; again, if it has ended."""
        self.processes[level] = self.place.supervise(self._configs[level])

    def expect(self, figures: Figures, note: str = "") -> None:
        """Check that both show these figures in time, and give the workers this note then."""
        shown = {level: self.place.report(f"{level}.report").await_last(figures) for level in LEVELS}
        assert shown == dict.fromkeys(LEVELS, figures)
        if note:
            self.place.note(note)

    def end(self, last: Figures) -> None:
        """End both, in order. Each has to end well, and to show these figures in its last report."""
        for level in LEVELS:
            assert self.processes[level].terminated() == 0, self.processes[level].said()
        self.expect(last)

    def went_down(self, name: str) -> bool:
        """Whether a statistic of the site has ever been less than before."""
        values = [each or 0 for each in self.place.report("site.report").history(name)]
        return any(later < earlier for earlier, later in zip(values, values[1:]))


@pytest.mark.parametrize("way", ["ipc", "tcp"])
def test_both_have_all_that_was_counted(place: Place, way: str) -> None:
    """While workers count, when they have ended, and when everything has ended."""
    chain = Chain(place, way)
    workers = place.run(WORKERS, place.address, "seen")

    chain.expect(expected(123), "seen")
    place.check(workers)
    chain.expect(expected(246, None))
    chain.end(expected(246, None))
    assert [chain.processes[level].said() for level in LEVELS] == ["", ""]


def test_what_was_counted_last_goes_all_the_way(place: Place) -> None:
    """Workers that publish only when they exit, and a host that is ended right after them, lose nothing."""
    chain = Chain(place, "tcp")
    workers = place.run(WORKERS.replace("sys.argv[1]", "sys.argv[1], 3600"), place.address)

    place.check(workers)
    chain.end(expected(123, None))


def test_two_hosts_are_one_site(place: Place) -> None:
    """What the workers of two hosts have counted adds up, and what the site counts about itself is its own."""
    chain = Chain(place, "ipc")
    other = f"ipc://{place.folder}/b"
    second = place.supervise(f"""
        [aggregator]
        socket_addr = "{other}"
        [reporters.zmq]
        interval = 0.1
        socket_addr = "{chain.site_address}"
    """)
    workers = [place.run(WORKERS, address, "seen") for address in (place.address, other)]
    site, host = place.report("site.report"), place.report("host.report")
    everything = {**expected(246, 246), "tapes.aggregator.workers.value": 2}
    seen = site.await_last(everything)
    seen_by_one = host.await_last({**expected(123), "tapes.aggregator.workers.value": 3})
    place.note("seen")
    statuses = [each.ended() for each in workers]
    statuses += [process.terminated() for process in (second, *map(chain.processes.get, LEVELS)) if process]

    assert seen == everything
    assert seen_by_one == {**expected(123), "tapes.aggregator.workers.value": 3}
    assert statuses == [0] * 5
    assert site.last(*expected(0)) == expected(492, None)


@pytest.mark.parametrize(("way", "kept"), [("ipc", True), ("tcp", False)], ids=["with-state", "without-state"])
def test_a_site_that_is_killed_and_restarted(place: Place, way: str, kept: bool) -> None:
    """The host tells it everything again, workers that are gone included, with a file of its state or without.

    Its first report waits for that, and so shows no less than the one before.
    """
    chain = Chain(place, way, kept=kept)
    place.check(place.run(WORKERS, place.address))
    chain.expect(expected(123, None))
    workers = place.run(WORKERS, place.address, "killed", "back")
    chain.expect(expected(246))
    chain.processes["site"].kill()
    place.note("killed")
    told = place.report("host.report").await_last(expected(369))
    chain.start("site")

    assert told == expected(369)
    chain.expect(expected(369), "back")
    place.check(workers)
    chain.expect(expected(492, None))
    chain.end(expected(492, None))
    assert not chain.went_down("served.value")


@pytest.mark.parametrize(
    ("way", "kept", "end"),
    [("ipc", True, Program.kill), ("ipc", True, Program.terminated), ("tcp", False, Program.kill)],
    ids=["killed-with-state", "ended-with-state", "killed-without-state"],
)
def test_a_host_that_is_restarted(place: Place, way: str, kept: bool, end: Callable[[Program], object]) -> None:
    """It goes on as the same one for the site, or is told again by those that live: all is counted once, at both.

    Nothing that the site has shown is taken back. A host without its state is none that has workers that are gone.
    """
    chain = Chain(place, way, kept=kept)
    before = 0
    if kept:
        place.check(place.run(WORKERS, place.address))
        before = 123
    workers = place.run(WORKERS, place.address, "ended", "back")
    chain.expect(expected(before + 123))
    end(chain.processes["host"])
    place.note("ended")
    chain.start("host")

    chain.expect(expected(before + 246), "back")
    place.check(workers)
    chain.expect(expected(before + 369, None))
    chain.end(expected(before + 369, None))
    assert not chain.went_down("served.value")


def test_a_host_that_has_forgotten_those_who_are_gone(place: Place) -> None:
    """Without a file of its state it does not know what they had counted; the site shows the same, nothing twice."""
    chain = Chain(place, "ipc")
    place.check(place.run(WORKERS, place.address))
    workers = place.run(WORKERS, place.address, "killed")
    chain.expect(expected(246))
    chain.processes["host"].kill()
    chain.start("host")

    chain.expect(expected(123), "killed")
    place.check(workers)
    chain.end(expected(246, None))


def test_a_host_that_never_comes_back(place: Place) -> None:
    """What it has told the site stays; its gauges go when its lease is over, or at once if its process is gone."""
    chain = Chain(place, "ipc")
    workers = place.run(WORKERS, place.address, "end")
    chain.expect(expected(123))
    chain.processes["host"].kill()
    site = place.report("site.report")
    second = site.await_last(expected(123, None))
    place.note("end")
    workers.ended()
    chain.processes["site"].terminated()

    assert second == expected(123, None)
    assert site.last(*expected(0)) == expected(123, None)


def test_two_containers_of_one_machine_are_two_hosts(place: Place) -> None:
    """Each with processes and files of its own, and an aggregator at the same path: the site tells them apart."""
    if os.geteuid() != 0:
        missing("only root can make a namespace of processes: run the tests as root")
    place.supervise(place.config(address=f"ipc://{place.folder}/site", report="site.report"))
    private = place.folder / "private"
    private.mkdir()
    path = place.folder / "container.py"
    path.write_text(f"""{PREAMBLE}
address = f"ipc://{{FOLDER}}/private/a"
with aggregator(ZmqReporter(0.1, f"ipc://{{FOLDER}}/site"), address=address):
    registry = worker_registry(address)
    registry.connect()
    registry.counter("served").increment(int(sys.argv[1]))
    noted("seen")
    registry.close()
""")
    unshare = [tool("unshare", "util-linux"), "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    inside = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(private), sys.executable, str(path)]
    containers = [place.command([*unshare, *inside, number], {}) for number in ("1", "10")]
    seen = place.report("site.report").await_last({"served.value": 11, "tapes.aggregator.workers.value": 2})
    place.note("seen")
    statuses = [container.ended() for container in containers]

    assert seen == {"served.value": 11, "tapes.aggregator.workers.value": 2}
    assert statuses == [0, 0], [container.said() for container in containers]
    assert place.report("site.report").last("served.value") == {"served.value": 11}
