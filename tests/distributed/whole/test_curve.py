"""Over TCP between two networks with keys: the right key comes in, no other does, and the log says so."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path
from typing import Iterator, Optional, Sequence, Union

import pytest

from tapes.distributed import keys
from tapes.distributed.receiver import REASONS
from tests.distributed.whole.programs import Figures, Place, Program
from tests.servers.network import OtherMachine
from tests.servers.processes import free_port, until

WORKER = """
registry = worker_registry(sys.argv[1], keys=sys.argv[2] or None, insecure=not sys.argv[2])
registry.counter("served").increment(int(sys.argv[3]))
registry.connect()
noted("seen")
"""

WORKERS = "tapes.aggregator.workers.value"
REFUSED = "tapes.aggregator.refused.why={}.value"


class Hub:
    """An aggregator on another machine."""

    def __init__(self, place: Place, machine: OtherMachine, options: str) -> None:
        """Start it. The options are those of its table in the config."""
        self._place = place
        self.address = f"tcp://{machine.host}:{free_port()}"
        config = place.config(options, address=self.address)
        self.process = place.command([*machine.inside, *place.configured(config)], {})

    def worker(self, folder: Union[str, Path], count: int) -> Program:
        """Start a worker on this machine, with the keys in a folder or, if that is empty, without any."""
        return self._place.run(WORKER, self.address, str(folder), str(count))

    def check(self, workers: Sequence[Program], last: Figures, said: Optional[Sequence[str]] = ()) -> None:
        """Check that workers, and then the aggregator, end well, what that has reported last, and what it has said."""
        for worker in workers:
            self._place.check(worker)
        self.process.signal(signal.SIGTERM)
        self._place.check(self.process, last=last, said=said)


@pytest.fixture
def machine() -> Iterator[OtherMachine]:
    """Make another machine."""
    with OtherMachine() as made:
        yield made


@pytest.fixture
def folder(place: Place) -> Path:
    """Make keys, and return their folder."""
    return keys.generate(place.folder / "keys")


@pytest.fixture
def strangers(place: Place, folder: Path) -> Path:
    """Return a folder with folders of keys that are not the right ones."""
    strangers = place.folder / "strangers"
    for name in ("another-worker", "another-aggregator"):
        keys.generate(strangers / name)
    shutil.copy(folder / "aggregator.key", strangers / "another-worker")
    for name in ("worker.key", "worker.key_secret"):
        shutil.copy(folder / name, strangers / "another-aggregator")
    return strangers


def test_the_right_keys_come_in(place: Place, machine: OtherMachine, folder: Path) -> None:
    """Workers with either of two keys that are admitted are counted; nobody is refused and nothing is logged."""
    keys.generate(folder, "shop")
    shop = place.folder / "shop"
    shop.mkdir()
    for name in ("aggregator.key", "shop.key", "shop.key_secret"):
        shutil.copy(folder / name, shop)
    hub = Hub(place, machine, f'keys = "{folder}"')
    workers = [hub.worker(folder, 3), hub.worker(shop, 40)]
    expected = {"served.value": 43, WORKERS: 2, **{REFUSED.format(why): 0 for why in REASONS}}

    place.expect(expected, "seen")
    hub.check(workers, {"served.value": 43})


@pytest.mark.parametrize(
    ("stranger", "reason", "why"),
    [
        ("another-worker", "with a key that is not in the folder of its keys", "unknown_key"),
        ("another-aggregator", "that of another aggregator", "other_aggregator"),
        ("", "has no key", "no_key"),
    ],
    ids=["another-worker", "another-aggregator", "no-key"],
)
def test_no_other_comes_in(
    place: Place, machine: OtherMachine, folder: Path, strangers: Path, stranger: str, reason: str, why: str
) -> None:
    """It is logged and counted, nothing that it tells is, and it says itself that nobody has confirmed it."""
    hub = Hub(place, machine, f'keys = "{folder}"')
    friend = hub.worker(folder, 3)
    place.expect({"served.value": 3})
    other = hub.worker(stranger and strangers / stranger, 40)
    until(lambda: "has refused" in hub.process.said(), "the aggregator has logged it")
    counted = REFUSED.format(why)
    until(lambda: place.report().last(counted)[counted], "it is counted")

    place.expect({"served.value": 3, WORKERS: 1}, "seen")
    place.check(other, said=None)
    hub.check([friend], {"served.value": 3}, said=None)
    assert other.said().count("has confirmed its last report") == 1
    (line,) = hub.process.lines()
    assert f"The aggregator at {hub.address} has refused" in line
    assert reason in line


def test_a_worker_with_keys_tells_nothing_to_an_aggregator_without(
    place: Place, machine: OtherMachine, folder: Path
) -> None:
    """Keys are no offer: where the aggregator has none, the worker does not fall back to sending in the clear."""
    hub = Hub(place, machine, "insecure = true")
    worker = hub.worker(folder, 40)
    other = hub.worker("", 3)

    place.expect({"served.value": 3, WORKERS: 1}, "seen")
    place.check(worker, said=None)
    hub.check([other], {"served.value": 3}, said=None)
    assert "has confirmed its last report" in worker.said()


def test_workers_of_both_machines_are_one_picture(place: Place, machine: OtherMachine, folder: Path) -> None:
    """Two on the aggregator's host and two that are not there add up, with gauges, and lose nothing at their exit."""
    hub = Hub(place, machine, f'keys = "{folder}"')
    script = """
        registry = worker_registry(sys.argv[1], keys=sys.argv[2])
        served, latency, stock = registry.counter("served"), registry.timer("latency"), registry.gauge("stock")

        def work(number):
            registry.connect()
            stock.set(number)
            for _ in range(1000):
                served.increment()
                latency.update(number)
            noted("seen")
            for _ in range(500):
                served.increment()
                latency.update(number)

        join(*[forked(lambda number=number: work(number)) for number in (1, 2)])
    """
    here = place.run(script, hub.address, str(folder))
    path = place.folder / "there.py"
    path.write_text(next(place.folder.glob("program*.py")).read_text())
    there = place.command([*machine.inside, sys.executable, str(path), hub.address, str(folder)], {})
    expected = {"served.value": 4000, "latency.count": 4000, "latency.sum": 6000, "stock.value": 6, WORKERS: 4}

    place.expect(expected, "seen")
    hub.check([here, there], {"served.value": 6000, "latency.sum": 9000})
