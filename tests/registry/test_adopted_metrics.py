"""Metrics that were made elsewhere, put into a registry and taken out again."""

from __future__ import annotations

from typing import Any, List, Tuple

import pytest

from tapes.errors import InvalidNameError, InvalidTagsError, KindMismatchError, MetricError, NameCollisionError
from tapes.instruments import Counter
from tapes.instruments.instrument import Instrument
from tapes.kinds.kind import VALUE, Kind
from tapes.registry import Registry
from tapes.snapshot import Statistics
from tests.concurrency.together import in_threads

KINDS = ("counter", "gauge", "histogram", "meter", "timer")


class AnswerKind(Kind):
    """A kind of its own."""

    __slots__ = ()

    statistics = (("value", VALUE),)

    def view(self, state: int, now: float, merge: str = "sum") -> Statistics:
        """Return the answer."""
        return {"value": state}


class Answer(Instrument):
    """A metric of that kind."""

    __slots__ = ("name", "tags")

    kind = AnswerKind("answer")

    def __init__(self, name: str, tags: Tuple[Tuple[str, str], ...] = ()) -> None:
        self.name = name
        self.tags = tags

    def read(self, now: float) -> int:
        """Return what is always the same."""
        return 42


def test_an_adopted_metric_is_like_any_other(registry: Registry) -> None:
    """It is iterated over, reported, and removed by its name."""
    answer = registry.adopt(Answer("shop.answer", (("k", "v"),)))

    assert list(registry) == [answer]
    assert registry.get_stats() == {"shop": {"answer": {"k=v": {"value": 42}}}}
    assert registry.remove("shop.answer")
    assert registry.get_stats() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_of_another_registry(registry: Registry, kind: str) -> None:
    """Whoever asks for its name gets the adopted one, which both registries show."""
    metric = getattr(Registry(), kind)("metric", tags={"b": "2", "a": "1"})

    assert registry.adopt(metric) is metric
    assert getattr(registry, kind)("metric", tags={"a": "1", "b": "2"}) is metric
    assert [reading.origin for reading in registry.snapshot().readings] == [metric]


def test_the_first_of_a_name_and_tags_stays(registry: Registry) -> None:
    """A second one is not put in, and the first is returned in its place."""
    first, second = Answer("metric"), Answer("metric")
    registry.adopt(first)

    assert registry.adopt(second) is first
    assert list(registry) == [first]
    assert registry.adopt(Answer("metric", (("k", "v"),))) is not first
    assert len(registry) == 2


def test_another_kind_is_refused(registry: Registry) -> None:
    """In either order, naming both."""
    registry.counter("metric")
    with pytest.raises(KindMismatchError, match="'metric' is a Counter of this registry, so it cannot be a Answer"):
        registry.adopt(Answer("metric"))
    registry.adopt(Answer("other"))
    with pytest.raises(KindMismatchError, match="'other' is a Answer of this registry, so it cannot be a Counter"):
        registry.counter("other")

    assert len(registry) == 2


@pytest.mark.parametrize(
    ("there", "name", "error"),
    [
        ("meter.count", "meter", NameCollisionError),
        ("a", "a.value", NameCollisionError),
        ("a", "b..c", InvalidNameError),
    ],
)
def test_what_could_not_be_made_cannot_be_adopted(
    registry: Registry, there: str, name: str, error: type[MetricError]
) -> None:
    """Names are checked as those of any other metric are."""
    registry.counter(there)
    metric: Any = Answer(name) if name != "meter" else Registry().meter(name)

    with pytest.raises(error):
        registry.adopt(metric)
    assert len(registry) == 1


def test_what_is_adopted_is_told_once(registry: Registry, created: List[Tuple[Registry, Instrument]]) -> None:
    """To observers of new metrics."""
    answer = Answer("metric")
    registry.adopt(answer)
    registry.adopt(answer)
    registry.adopt(Answer("metric"))

    assert created == [(registry, answer)]


def test_discard_removes_these_very_metrics(registry: Registry) -> None:
    """By what they are, not by their names: one that has taken the place of another stays."""
    first, second, third = (registry.counter("metric", {"k": value}) for value in "abc")
    registry.remove("metric", {"k": "b"})
    again = registry.counter("metric", {"k": "b"})

    registry.discard([first, second, Answer("metric"), Registry().counter("metric", {"k": "c"})])

    assert list(registry) == [third, again]


def test_discarding_nothing_changes_nothing(registry: Registry) -> None:
    """Neither does what is not there."""
    counter = registry.counter("metric")
    registry.discard([])
    registry.discard(iter([Answer("other")]))

    assert list(registry) == [counter]


def test_what_was_discarded_is_made_anew_when_it_is_asked_for(registry: Registry) -> None:
    """At zero, and its name is free for another kind."""
    counter = registry.counter("metric")
    counter.increment(5)
    registry.discard([counter])
    assert registry.get_stats() == {}

    again = registry.counter("metric")
    assert again is not counter
    assert registry.get_stats().metric.value == 0
    registry.discard([again])
    registry.timer("metric")
    assert registry.get_stats().metric["count"] == 0


def test_threads_that_adopt_the_same_get_the_same() -> None:
    """One of them puts it in, and nothing that was put in is lost to a discard beside it."""
    registry = Registry()
    found: List[Counter] = []
    passing = [Answer("passing", (("n", str(number)),)) for number in range(200)]

    def adopt() -> None:
        found.extend(registry.adopt(Registry().counter("metric", {"n": str(number)})) for number in range(200))

    def come_and_go() -> None:
        for answer in passing:
            registry.adopt(answer)
            registry.discard([answer])

    in_threads(adopt, adopt, adopt, come_and_go)

    assert len(set(map(id, found))) == 200
    assert set(registry) == set(found)


@pytest.mark.parametrize("tags", [{"b": "1", "a": "2"}, (("b", "1"), ("a", "2")), (("a", "2"), ("b", "1"))])
def test_tags_may_be_a_mapping_or_pairs_in_any_order(registry: Registry, tags: Any) -> None:
    """They are what the tags of any other metric are."""
    answer = registry.adopt(Answer("shop.answer", tags))

    assert answer.tags == (("a", "2"), ("b", "1"))
    assert list(registry.get_stats().shop.answer) == ["a=2,b=1"]


@pytest.mark.parametrize("tags", [("xy",), "xy", 3, (("x", "y", "z"),), {"x": 1}, (("x", 1),), {"": "y"}])
def test_tags_that_are_none_are_refused(registry: Registry, tags: Any) -> None:
    """As `counter()` refuses them, and nothing is left behind."""
    with pytest.raises(InvalidTagsError, match=r"shop\.answer"):
        registry.adopt(Answer("shop.answer", tags))

    assert list(registry) == []
