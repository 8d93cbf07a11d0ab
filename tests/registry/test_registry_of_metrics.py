"""The registry: getting, creating, iterating, removing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Dict, List, Type

import pytest

import tapes
from tapes.errors import KindMismatchError
from tapes.instruments import Counter, Gauge, Histogram, Instrument, Meter, Timer
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.testing import ManualClock

KINDS: Dict[str, Type[Instrument]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": Histogram,
    "meter": Meter,
    "timer": Timer,
}


def metric(registry: Registry, kind: str, name: str, tags: Any = None) -> Any:
    """Get or create a metric of this kind."""
    return getattr(registry, kind)(name, tags=tags)


def names(registry: Registry) -> List[str]:
    """Return name and tags of all series in order."""
    return [f"{series.name} {dict(series.tags) or ''}".rstrip() for series in registry]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_name_and_tags_give_the_same_metric(registry: Registry, kind: str) -> None:
    """However the tags are written down, and whatever else there is."""
    plain = metric(registry, kind, "a.b")
    tagged = metric(registry, kind, "a.b", {"k": "v", "l": "w"})

    assert type(plain) is KINDS[kind]
    assert plain is metric(registry, kind, "a.b") is metric(registry, kind, "a.b", {})
    assert (
        tagged
        is metric(registry, kind, "a.b", {"l": "w", "k": "v"})
        is metric(registry, kind, "a.b", dict(tagged.tags))
    )
    assert len({id(series) for series in (plain, tagged, metric(registry, kind, "a.b", {"k": "v"}))}) == 3
    assert metric(Registry(), kind, "a.b") is not plain
    assert (plain.name, plain.tags, tagged.tags) == ("a.b", (), (("k", "v"), ("l", "w")))


def test_tags_whose_words_are_in_other_places(registry: Registry) -> None:
    """Keys and values are not mixed up."""
    all_tags = [
        {"a": "b", "c": "d"},
        {"a": "c", "b": "d"},
        {"a": "d", "b": "c"},
        {"a": "b"},
        {"b": "a"},
        {"a": "b", "c": "d", "e": "f"},
        {"c": "b", "a": "d"},
        {"a": "", "b": ""},
        {"a": ""},
    ]
    made = [registry.counter("m", tags) for tags in all_tags]

    assert len(set(map(id, made))) == len(all_tags)
    assert [registry.counter("m", dict(reversed(list(tags.items())))) for tags in all_tags] == made


def test_changing_the_mapping_afterwards(registry: Registry) -> None:
    """Tags are copied."""
    tags = {"k": "v"}
    first = registry.counter("m", tags)
    tags["k"] = "w"

    assert registry.counter("m", tags) is not first
    assert (first.tags, registry.counter("m", {"k": "v"})) == ((("k", "v"),), first)


@pytest.mark.parametrize("tags", [None, {"k": "v"}])
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_has_one_kind(registry: Registry, kind: str, other: str, tags: Any) -> None:
    """Another kind under the same name is refused, whatever the tags, with both kinds in the message."""
    made = metric(registry, kind, "db.queries")
    if kind == other:
        assert metric(registry, other, "db.queries") is made
        return

    with pytest.raises(KindMismatchError) as caught:
        metric(registry, other, "db.queries", tags)

    assert str(caught.value) == (
        f"'db.queries' is a {KINDS[kind].__name__} of this registry, so it cannot be a {KINDS[other].__name__}: "
        f"ask for it as a {KINDS[kind].__name__}, or choose another name."
    )
    assert list(registry) == [made]


def test_iteration_is_in_the_order_of_creation(registry: Registry) -> None:
    """Each series by itself, and as they were when it began."""
    registry.timer("z")
    registry.counter("b", {"k": "2"})
    registry.counter("a")
    registry.counter("b")
    iterator = iter(registry)
    registry.counter("later")

    assert [str(series) for series in iterator] == [
        "<Timer 'z'>",
        "<Counter 'b' {k=2}>",
        "<Counter 'a'>",
        "<Counter 'b'>",
    ]
    assert names(registry) == ["z", "b {'k': '2'}", "a", "b", "later"]
    assert len(registry) == 5
    assert repr(registry) == "<Registry of 5 series>"


def test_removing_a_metric_with_all_series(registry: Registry) -> None:
    """Others stay, in their order, with their values."""
    for name in ("a", "b", "c"):
        registry.counter(name).increment(3)
        registry.counter(name, {"k": "v"}).increment(4)

    assert registry.remove("b") is True

    assert names(registry) == ["a", "a {'k': 'v'}", "c", "c {'k': 'v'}"]
    assert registry.get_stats() == {
        "a": {"value": 3, "k=v": {"value": 4}},
        "c": {"value": 3, "k=v": {"value": 4}},
    }
    assert registry.remove("b") is False


def test_removing_one_series(registry: Registry) -> None:
    """With tags, the others of that name stay; empty tags name the one without any."""
    for tags in ({}, {"k": "v", "l": "w"}, {"k": "w"}):
        registry.counter("a", tags)

    assert registry.remove("a", {"l": "w", "k": "v"}) is True
    assert names(registry) == ["a", "a {'k': 'w'}"]
    assert registry.remove("a", {"l": "w", "k": "v"}) is False
    assert registry.remove("a", {}) is True
    assert names(registry) == ["a {'k': 'w'}"]


@pytest.mark.parametrize("name", ["b", "a.b", "a.b.c.d", "", "a."])
def test_removing_what_is_not_there(registry: Registry, name: str) -> None:
    """Neither a part of a name nor a longer one is the name."""
    registry.counter("a")
    registry.counter("a.b.c")

    assert registry.remove(name) is False
    assert len(registry) == 2


def test_a_removed_metric_records_in_vain(registry: Registry) -> None:
    """Asked for again it is a new one, which begins at zero and may be of another kind."""
    old = registry.counter("a")
    old.increment(5)
    registry.remove("a")
    old.increment(5)

    new = registry.counter("a")
    new.increment()

    assert new is not old
    assert registry.get_stats() == {"a": {"value": 1}}
    registry.remove("a")
    assert registry.timer("a").kind == "timer"
    registry.remove("a")
    registry.counter("a.count")
    registry.remove("a.count")
    assert registry.meter("a").kind == "meter", "the names that it would collide with are free"


def test_clear(registry: Registry) -> None:
    """All metrics go, and what is asked for then is new."""
    old = registry.counter("a", {"k": "v"})
    old.increment()
    registry.timer("b")

    registry.clear()

    assert (len(registry), list(registry), registry.get_stats()) == (0, [], {})
    assert registry.counter("a", {"k": "v"}) is not old
    assert registry.get_stats() == {"a": {"k=v": {"value": 0}}}


def record(registry: Registry, amount: int) -> None:
    """Record the same to each kind."""
    registry.counter("c").increment(amount)
    registry.gauge("g").set(amount)
    registry.meter("m").mark(amount)
    registry.histogram("h").update(amount)
    registry.timer("t").update(amount)


def test_isolation(registry: Registry) -> None:
    """Inside, all begins at zero; outside, all is as before, and what was made inside has gone, also after an error."""
    record(registry, 5)
    counter, before = registry.counter("c"), registry.get_stats()

    with suppress(KeyError), registry.isolated() as isolated:
        assert isolated is registry
        assert registry.counter("c") is counter
        assert (registry.get_stats().c.value, registry.get_stats().g.value) == (0, None)
        assert [registry.get_stats()[name]["count"] for name in "mht"] == [0, 0, 0]
        record(registry, 2)
        registry.counter("new").increment()
        inside = registry.get_stats()
        registry.clear()
        raise KeyError

    assert (inside.c.value, inside.g.value, inside.m.count, inside.h.sum, inside.t.sum) == (2, 2, 2, 2.0, 2.0)
    assert inside.new.value == 1
    assert registry.get_stats() == before
    assert registry.counter("c") is counter


def test_what_was_recorded_before_an_isolation_keeps_its_time() -> None:
    """Values do not become young by being put away and back, nor do events change their tick."""
    clock, other_clock = ManualClock(), ManualClock()
    registry, other = Registry(clock=clock), Registry(clock=other_clock)
    for made in (registry, other):
        record(made, 5)
    clock.advance(60)
    with registry.isolated():
        clock.advance(120)
    clock.advance(1)
    other_clock.advance(181)
    for made in (registry, other):
        record(made, 1)
    for turned in (clock, other_clock):
        turned.advance(5)
    first, wanted = registry.get_stats(), other.get_stats()
    for turned in (clock, other_clock):
        turned.advance(179)

    assert first.m == pytest.approx(wanted.m)
    assert first.t == pytest.approx(wanted.t)
    assert (registry.get_stats().h.max, registry.get_stats().t.max) == (1.0, 1.0)


def test_the_functions_of_the_module() -> None:
    """They work on the one registry of the process."""
    with DEFAULT_REGISTRY.isolated():
        for kind, cls in KINDS.items():
            made = getattr(tapes, kind)(f"module.{kind}", tags={"k": "v"})
            assert type(made) is cls
            assert getattr(DEFAULT_REGISTRY, kind)(f"module.{kind}", tags={"k": "v"}) is made

        assert list(tapes.get_stats().module) == list(KINDS)
    assert tapes.Registry is Registry
