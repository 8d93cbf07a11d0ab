"""Series of a name that are merged into one for each combination of some of their tags."""

from __future__ import annotations

import pickle
from typing import Any, Dict, List, Sequence, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.errors import InvalidNameError, InvalidTagsError, InvalidTypeError
from tapes.facts import Facts
from tapes.kinds.histogram import HISTOGRAM
from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.snapshot.rollup import rolled_up
from tapes.testing import ManualClock
from tests.state.likeness import alike

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=50)

RECORD: Dict[str, Any] = {
    "counter": lambda metric, value: metric.increment(value),
    "gauge": lambda metric, value: metric.set(value),
    "histogram": lambda metric, value: metric.update(value),
    "meter": lambda metric, value: metric.mark(abs(value)),
    "timer": lambda metric, value: metric.update(abs(value)),
}

tag_sets = st.fixed_dictionaries(
    {}, optional={"route": st.sampled_from(["/", "/cart", ""]), "method": st.sampled_from(["GET", "POST"])}
)
records = st.lists(st.tuples(tag_sets, st.integers(-1000, 1000), st.integers(0, 40)), min_size=1, max_size=20)


def registry_of(kind: str, made: Sequence[Tuple[Dict[str, str], int, int]]) -> Registry:
    """Return a registry with records of one name: each with its tags, its value and the seconds before it."""
    registry = Registry(clock=(clock := ManualClock(1000.0)))
    for tags, value, seconds in made:
        clock.advance(seconds)
        RECORD[kind](getattr(registry, kind)("a", tags=tags), value)
    return registry


def there(by: Tuple[str, ...], made: Sequence[Tuple[Dict[str, str], int, int]]) -> Tuple[str, ...]:
    """Return the tags that some series has."""
    return tuple([key for key in by if any(key in tags for tags, _, _ in made)])


def series(readings: Sequence[Reading]) -> List[Any]:
    """Return tags, kind, facts and statistics of readings."""
    return [(reading.tags, reading.kind, reading.facts, reading.statistics) for reading in readings]


@pytest.mark.parametrize("kind", RECORD)
@LAW
@given(records)
def test_by_all_tags_it_is_the_series(kind: str, made: List[Any]) -> None:
    """Each for itself, in the same order, whatever the order of the tags."""
    registry = registry_of(kind, made)
    by = there(("route", "method"), made)

    assert series(registry.rollup("a", by=by)) == series(registry.snapshot().readings)
    assert series(registry.rollup("a", by=by[::-1])) == series(registry.snapshot().readings)


@pytest.mark.parametrize("kind", RECORD)
@LAW
@given(st.sampled_from([("route",), ("method",), ("route", "method")]), records)
def test_the_groups_together_are_the_rollup_of_all(kind: str, by: Tuple[str, ...], made: List[Any]) -> None:
    """Nothing is left out, and nothing is in two of them."""
    registry = registry_of(kind, made)
    now = registry.clock.monotonic()
    groups = registry.rollup("a", by=there(by, made))

    assert alike(series(rolled_up(groups, (), now)), series(registry.rollup("a")))
    assert len({group.tags for group in groups}) == len(groups)


@pytest.mark.parametrize("kind", [kind for kind in RECORD if kind != "gauge"])
@LAW
@given(st.sampled_from([(), ("route",)]), records)
def test_a_group_is_one_metric_that_has_seen_all(kind: str, by: Tuple[str, ...], made: List[Any]) -> None:
    """The metric that would have been recorded to without the other tags, while its window has not moved on."""
    made = [(tags, value, seconds // 4) for tags, value, seconds in made]
    fewer = [({key: tags[key] for key in tags if key in by}, value, seconds) for tags, value, seconds in made]
    wanted = series(registry_of(kind, fewer).snapshot().readings)
    found = series(registry_of(kind, made).rollup("a", by=there(by, made)))

    assert alike(found, wanted)


@pytest.fixture
def registry() -> Registry:
    """Return an empty registry."""
    return Registry(clock=ManualClock(1000.0))


def test_combinations_of_tags(registry: Registry) -> None:
    """A series without a tag belongs to a combination without it. The first that is seen comes first."""
    registry.counter("requests", {"route": "/cart", "method": "POST"}, unit="requests").increment(1)
    registry.counter("requests", {"route": "/", "method": "GET"}).increment(10)
    registry.counter("requests", {"method": "GET"}).increment(100)
    registry.counter("requests", {"route": "/cart", "method": "GET"}).increment(1000)
    registry.counter("requests").increment(10000)
    registry.counter("requests.more").increment(7)

    def found(*by: str) -> Dict[Any, Any]:
        return {reading.tags: reading.statistics["value"] for reading in registry.rollup("requests", by)}

    assert found() == {(): 11111}
    assert list(found("route").items()) == [((("route", "/cart"),), 1001), ((("route", "/"),), 10), ((), 10100)]
    assert found("method") == {(("method", "POST"),): 1, (("method", "GET"),): 1110, (): 10000}
    assert [reading.facts for reading in registry.rollup("requests", ("route",))] == [Facts("", "requests")] * 3


def test_quantiles_are_those_of_all_values(registry: Registry) -> None:
    """And no mean of quantiles: nine of ten requests are to the quick route."""
    for n in range(900):
        registry.timer("latency", {"route": "/quick"}).update(0.001 + n / 1e6)
    for _ in range(100):
        registry.timer("latency", {"route": "/slow"}).update(2)
    (reading,) = registry.rollup("latency")

    assert reading.statistics["count"] == 1000
    assert reading.statistics["max"] == 2
    assert reading.statistics["q50"] == pytest.approx(0.0015, rel=0.01)
    assert reading.statistics["q95"] == pytest.approx(2, rel=0.01)
    assert reading.state.durations.count == 1000


@pytest.mark.parametrize(("merge", "value"), [("sum", 12), ("min", 2), ("max", 7), ("mean", 4), ("last", 3)])
def test_gauges_are_merged_as_they_say(registry: Registry, merge: str, value: float) -> None:
    """As the values of several processes would be. One without a value has no part in it."""
    for n, level in enumerate((2, 7, 3)):
        registry.clock.advance(1)  # type: ignore[attr-defined]  # of a clock for tests
        registry.gauge("level", tags={"n": str(n)}, merge=merge).set(level)
    registry.gauge("level", tags={"n": "none"}, merge=merge)
    registry.gauge("unset")

    assert [reading.statistics for reading in registry.rollup("level")] == [{"value": value}]
    assert [reading.statistics for reading in registry.rollup("unset")] == [{"value": None}]


def test_the_series_that_takes_the_rest_stays_by_itself() -> None:
    """What is in it may belong to any combination. It is a part of the rollup of all."""
    registry = Registry(clock=ManualClock(), max_tag_sets=2)
    for n in range(5):
        registry.counter("a", {"n": str(n), "k": "v"}).increment(10**n)
    registry.counter("a").increment(10**5)

    def found(*by: str) -> Dict[Any, Any]:
        return {reading.tags: reading.statistics["value"] for reading in registry.rollup("a", by)}

    assert found("k") == {(("k", "v"),): 11, (("overflow", "true"),): 11100, (): 100000}
    assert found() == {(): 111111}


def test_a_name_that_is_not_there(registry: Registry) -> None:
    """Has no series, and so nothing is rolled up, also of names above and below."""
    registry.counter("a.b.c")

    assert registry.rollup("a") == []
    assert registry.rollup("a.b", by=("k",)) == []


def test_a_tag_that_is_not_there_is_an_error(registry: Registry) -> None:
    """It names the tag, the metric and the tags that there are. One that some series have is fine."""
    registry.counter("plain")
    for tags in ({"route": "/"}, {"route": "/", "method": "GET"}):
        registry.counter("requests", tags)

    for name, by, message in (
        (
            "requests",
            ("rout",),
            "by 'rout': none of its series has it. They have the tags 'method', 'route'.",
        ),
        ("requests", ("a", "route", "b"), "by 'a', 'b': none"),
        (
            "plain",
            ("route",),
            "'plain' cannot be rolled up by 'route': none of its series has it. They have no tags.",
        ),
    ):
        with pytest.raises(InvalidTagsError) as caught:
            registry.rollup(name, by)
        assert message in str(caught.value)
    assert len(registry.rollup("requests", ("method",))) == 2


def test_of_the_overflow_series_alone_no_tag_is_known() -> None:
    """Its values may have had any."""
    registry = Registry(clock=ManualClock(), max_tag_sets=1)
    for route in ("/", "/cart"):
        registry.counter("a", {"route": route}).increment()
    registry.remove("a", {"route": "/"})

    assert [reading.tags for reading in registry.rollup("a", ("route",))] == [(("overflow", "true"),)]


def test_series_of_a_name_come_in_the_order_of_their_creation(registry: Registry) -> None:
    """Also one without tags that came last, and those that an isolation has set aside."""
    for tags in ({"n": "1"}, {"n": "0"}, {}):
        registry.counter("a", tags).increment()
    with registry.isolated():
        inside = registry.counter("a", {"n": "2"})
    before = registry.series("a")
    inside.increment()

    assert [metric.tags for metric in before] == [(("n", "1"),), (("n", "0"),), ()]
    assert registry.series("a") == [*before, inside] == list(registry)


def test_only_the_series_of_the_name_are_looked_at(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others there are."""
    registry.counter("a", {"n": "1"}).increment()
    registry.counter("b").increment()
    monkeypatch.setattr(Registry, "__iter__", lambda _: 1 / 0)

    assert [reading.statistics for reading in registry.rollup("a")] == [{"value": 1}]


def test_producers_are_asked_once_and_others_not_at_all(registry: Registry) -> None:
    """Only the series of the name are read."""
    asked: List[str] = []

    def producer(name: str) -> int:
        asked.append(name)
        return len(asked)

    for name in ("a", "b"):
        registry.gauge(name, lambda name=name: producer(name))  # type: ignore[misc]  # its default is its argument

    assert [reading.statistics["value"] for reading in registry.rollup("a")] == [1]
    assert asked == ["a"]


@pytest.mark.parametrize("by", ["route", b"route", None, 3, [3], [None]])
def test_what_is_no_set_of_tags_is_refused(registry: Registry, by: Any) -> None:
    """A single str is most likely the one tag that is meant. The error says what to do."""
    with pytest.raises(InvalidTypeError) as caught:
        registry.rollup("shop.latency", by)

    assert str(caught.value) == (
        f"The series of 'shop.latency' are rolled up by keys of tags, like ('route', 'method'), not by {by!r} "
        f"({type(by).__name__}): put them into a tuple, () for one of all series."
    )


def test_what_is_no_name_is_refused(registry: Registry) -> None:
    """As everywhere."""
    with pytest.raises(InvalidNameError):
        registry.rollup("a..b")


def test_readings_of_another_process(registry: Registry) -> None:
    """Those that were pickled are merged as well, as long as their kind is known."""
    for n in range(3):
        registry.histogram("a", {"n": str(n)}).update(n)
    sent = pickle.loads(pickle.dumps(registry.snapshot().readings))
    (reading,) = rolled_up(sent, (), 1000.0)

    assert reading.statistics == registry.rollup("a")[0].statistics
    assert pickle.loads(pickle.dumps(reading)).statistics == reading.statistics
    with pytest.raises(InvalidTypeError, match="'a' is a odometer, an unknown kind"):
        rolled_up([Reading("a", (), "odometer", {"km": 3}, None)], (), 0.0)


def test_a_group_whose_statistics_cannot_be_computed(
    registry: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has none, which is logged, and takes no other one along."""
    monkeypatch.setattr("tapes.snapshot.snapshot._broken", set())
    for n in ("1", "2"):
        registry.histogram("a", {"n": n}).update(int(n))
    now = registry.clock.monotonic()
    first, second = registry.snapshot().readings
    broken = Reading("a", first.tags, HISTOGRAM, None, BrokenState())
    found = rolled_up([broken, second], ("n",), now)

    assert [reading.statistics["max"] for reading in found] == [None, 2]
    assert len(caplog.messages) == 1


class BrokenState:
    """A state that cannot be looked at."""

    @property
    def count(self) -> int:
        """Raise what a damaged state would."""
        raise ZeroDivisionError
