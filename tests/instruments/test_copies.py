"""Metrics, scopes and decorated functions that are copied and pickled: they count where one looks."""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import os
import pickle
from functools import partial
from typing import Any, Callable, Dict, Iterator

import pytest

import tapes
from tapes.errors import NotPortableError
from tapes.instruments import Gauge
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.testing import ManualClock, isolated_registry

KINDS = ("counter", "gauge", "histogram", "meter", "timer")
TAGS = {"k": "v", "l": "w"}


def pickled(value: Any, protocol: int = 4) -> Any:
    """Return what is left of a value on its way through pickle."""
    return pickle.loads(pickle.dumps(value, protocol))


COPIES: Dict[str, Callable[[Any], Any]] = {"copy": copy.copy, "deepcopy": copy.deepcopy}
WAYS: Dict[str, Callable[[Any], Any]] = {
    **COPIES,
    **{f"pickle {n}": partial(pickled, protocol=n) for n in range(6)},
}

scopes: Dict[str, Callable[[Any], Any]] = {
    "timer": lambda registry: registry.timer("t", tags=TAGS).time(),
    "gauge": lambda registry: registry.gauge("g", tags=TAGS).track_in_progress(),
    "meter": lambda registry: registry.meter("m", tags=TAGS).mark_exceptions(KeyError, OSError),
}


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """Leave nothing in the default registry."""
    with isolated_registry():
        yield


@pytest.mark.parametrize("tags", [None, TAGS])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_metric_of_the_default_registry_is_itself_again(way: str, kind: str, tags: Any) -> None:
    """In the same process a copy is the very same metric, whatever holds it."""
    metric = getattr(tapes, kind)("m", tags=tags)

    assert WAYS[way](metric) is metric
    assert copy.deepcopy({"holder": [metric]})["holder"][0] is metric
    assert pickled({"holder": [metric]})["holder"][0] is metric


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_of_another_registry_cannot_be_pickled(kind: str) -> None:
    """Nor can one that has been removed. The error says why, and what to do. A copy of it is the metric itself."""
    getattr(tapes, kind)("m")
    foreign = getattr(Registry(), kind)("m")
    removed = getattr(tapes, kind)("removed")
    DEFAULT_REGISTRY.remove("removed")

    for metric in (foreign, removed):
        assert copy.copy(metric) is copy.deepcopy(metric) is metric
        with pytest.raises(NotPortableError) as caught:
            pickle.dumps(metric)
        assert str(caught.value) == (
            f"{metric!r} cannot be pickled: it is not in the default registry, the only one that other processes have "
            "too. Create it with the functions of tapes, or look it up where it is needed."
        )
    assert "removed" not in tapes.get_stats()


@pytest.mark.parametrize("scope", scopes)
def test_scopes_of_another_registry(scope: str) -> None:
    """A copy is the scope itself, and it cannot be pickled."""
    made = scopes[scope](Registry())

    assert copy.copy(made) is copy.deepcopy(made) is made
    with pytest.raises(NotPortableError, match="is not in the default registry"):
        pickle.dumps(made)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scope", scopes)
def test_scopes_measure_for_the_same_metric(scope: str, way: str) -> None:
    """What is measured with a copy, or with what was pickled, is seen in the registry."""
    again = WAYS[way](scopes[scope](tapes))
    with contextlib.suppress(KeyError), again:
        inside = tapes.get_stats()
        raise KeyError
    stats = tapes.get_stats()

    label = "k=v,l=w"
    counted: Dict[str, Callable[[], bool]] = {
        "timer": lambda: stats.t[label].count == 1,
        "gauge": lambda: (inside.g[label].value, stats.g[label].value) == (1, 0),
        "meter": lambda: stats.m[label].count == 1,
    }
    assert counted[scope]()


def test_exceptions_that_a_pickled_scope_marks() -> None:
    """They are those that it was made for."""
    marking = pickled(tapes.meter("m").mark_exceptions(KeyError, OSError))
    for error in (KeyError, FileNotFoundError, ValueError):
        with pytest.raises(error), marking:
            raise error

    assert tapes.get_stats().m.count == 2


def cores() -> int:
    """Return what a gauge shows."""
    return 8


class Pool:
    """Something of this process."""

    def size(self) -> int:
        """Return what a gauge shows."""
        return 3


def pickled_elsewhere(gauge: Gauge) -> Gauge:
    """Return what a gauge is in a process that has not made it."""
    data = pickle.dumps(gauge)
    DEFAULT_REGISTRY.remove(gauge.name)
    arrived: Gauge = pickle.loads(data)
    return arrived


@pytest.mark.parametrize("producer", [cores, os.cpu_count], ids=["function", "builtin"])
def test_a_gauge_takes_along_what_makes_it_up(producer: Any) -> None:
    """Where it is not there yet it is made as it was, if its producer can be imported there."""
    arrived = pickled_elsewhere(tapes.gauge("g", producer, TAGS, merge="max"))

    assert (arrived.producer, arrived.merge, dict(arrived.tags)) == (producer, "max", TAGS)
    assert tapes.gauge("g", tags=TAGS) is arrived


@pytest.mark.parametrize("producer", [Pool().size, lambda: 3], ids=["method", "lambda"])
def test_a_producer_that_is_of_one_process_stays_there(producer: Any) -> None:
    """What it would say of a copy of its object means nothing."""
    gauge = tapes.gauge("g", producer, merge="last")
    assert pickled(gauge) is gauge
    assert gauge.producer is producer

    arrived = pickled_elsewhere(gauge)

    assert (arrived.producer, arrived.merge) == (None, "last")


@pytest.mark.parametrize(("own", "value"), [(Pool().size, 3), (None, 7)], ids=["producer", "set"])
def test_a_gauge_that_is_there_stays_as_it_is(own: Any, value: int) -> None:
    """What the process has made or set itself is not replaced or hidden by the producer of what arrives."""
    data = pickle.dumps(tapes.gauge("g", cores))
    DEFAULT_REGISTRY.remove("g")
    gauge = tapes.gauge("g", own)
    if own is None:
        gauge.set(7)

    assert pickle.loads(data) is gauge
    assert tapes.get_stats().g.value == value


def test_a_registry_is_itself_again() -> None:
    """The default registry by pickle too; another one cannot be pickled."""
    other = Registry()

    assert copy.copy(other) is copy.deepcopy(other) is other
    assert pickled(DEFAULT_REGISTRY) is copy.deepcopy(DEFAULT_REGISTRY) is DEFAULT_REGISTRY
    assert pickled(tapes.counter)("c") is tapes.counter("c")
    with pytest.raises(NotPortableError, match=r"<Registry of 0 series> cannot be pickled: the default registry"):
        pickle.dumps(other)


def test_a_snapshot_is_data() -> None:
    """It can be pickled, whatever registry it is of; what it is a reading of stays behind."""
    registry = Registry(clock=ManualClock())
    registry.timer("t", TAGS).update(0.5)
    snapshot = registry.snapshot()

    reading, origin = pickled(snapshot).readings[0], copy.deepcopy(snapshot).readings[0].origin

    assert (reading.name, reading.tags, reading.kind) == ("t", tuple(TAGS.items()), "timer")
    assert reading.statistics == snapshot.readings[0].statistics
    assert (reading.origin, origin) == (None, registry.timer("t", TAGS))


jobs = tapes.counter("copies.jobs")
latency = tapes.timer("copies.latency")


@latency.time()
def work(counter: Any) -> None:
    """Be called in another process."""
    with tapes.gauge("copies.busy").track_in_progress():
        counter.increment()


def counted_there(counter: Any, scope: Any, function: Callable[[Any], None]) -> Any:
    """Record to what has arrived, and return what this process has counted."""
    with scope:
        function(counter)
    with copy.deepcopy(scope):
        pass
    stats = tapes.get_stats().copies
    return stats.jobs.value, stats.latency.count, counter is jobs


def test_arguments_of_a_spawned_process() -> None:
    """They are the metrics of that process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(counted_there, (jobs, latency.time(), work))

    assert there == (1, 3, True)


def test_a_function_that_is_pickled_by_value() -> None:
    """As those of a notebook are on their way to a cluster: what it has closed over counts."""
    cloudpickle = pytest.importorskip("cloudpickle")
    calls = tapes.counter("calls")

    @tapes.timer("t").time()
    @tapes.meter("failures").mark_exceptions(KeyError)
    def measured() -> None:
        calls.increment()
        tapes.counter("named").increment()
        raise KeyError

    arrived = pickle.loads(cloudpickle.dumps(measured))
    with pytest.raises(KeyError):
        arrived()
    stats = tapes.get_stats()

    assert arrived is not measured
    assert (stats.t["count"], stats.failures["count"], stats.calls.value, stats.named.value) == (1, 1, 1, 1)
