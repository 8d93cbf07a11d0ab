"""Which names and tags there may be, and which may be beside each other."""

from __future__ import annotations

import re
from collections import OrderedDict
from enum import Enum
from types import MappingProxyType
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.errors import InvalidNameError, InvalidTagsError, MetricError, NameCollisionError
from tapes.naming import Tags, canonical_tags, check_series, tag_label
from tapes.registry import Registry

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

KINDS = ["counter", "gauge", "histogram", "meter", "timer"]


EMPTY_SEGMENT = "The metric name '{}' has an empty segment: put one '.' between words, and none at the ends."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "The metric name is empty: name the metric after what it measures, like 'shop.orders'."),
        *[(name, EMPTY_SEGMENT.format(name)) for name in (".", ".a", "a.", "a..b")],
        (None, "A metric name is a str, like 'shop.orders', not None (NoneType)."),
        (3, "A metric name is a str, like 'shop.orders', not 3 (int)."),
        (b"a", "A metric name is a str, like 'shop.orders', not b'a' (bytes)."),
        (["a"], "A metric name is a str, like 'shop.orders', not ['a'] (list)."),
        ({"a": "b"}, "A metric name is a str, like 'shop.orders', not {'a': 'b'} (dict)."),
    ],
)
def test_names_that_are_none(registry: Registry, kind: str, name: Any, message: str) -> None:
    """A name is a str of segments that are not empty; the error says what it is instead."""
    with pytest.raises(InvalidNameError) as caught:
        getattr(registry, kind)(name)

    assert str(caught.value) == message
    assert len(registry) == 0
    with pytest.raises(InvalidNameError):
        getattr(registry, kind)(name, tags={"k": "v"})


@pytest.mark.parametrize("name", [("a", "k", "v"), ("b",)])
def test_a_tuple_is_no_name(registry: Registry, name: Any) -> None:
    """Not even one that looks like what a metric is found by, its name with its tags."""
    registry.counter("a", {"k": "v"})
    registry.counter("b", {})

    with pytest.raises(InvalidNameError, match=r"^A metric name is a str, like 'shop.orders', not .* \(tuple\)\."):
        registry.counter(name)


@pytest.mark.parametrize("name", ["a", "a.b.c", "A-b_c d", "ä.ö", "a/b", "1", "a=b,c", "\n", "a\\b", "\udcff"])
def test_names_that_are_fine(registry: Registry, name: str) -> None:
    """Anything between the dots is fine."""
    registry.counter(name).increment()

    node = registry.get_stats()
    for segment in name.split("."):
        node = node[segment]
    assert node == {"value": 1}


@pytest.mark.parametrize("name", [".".join("x" * 64), "x" * 1024, "ä" * 512, "\udcff" * 341])
def test_the_longest_names(registry: Registry, name: str) -> None:
    """A name has up to 64 segments and 1,024 bytes of UTF-8."""
    registry.counter(name).increment()

    assert names(registry) == [name]
    check_series(name, ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "beginning", "message"),
    [
        (".".join("x" * 65), ".".join("x" * 65), "has 65 segments, more than 64: use fewer, or put what varies"),
        ("a." * 30_000 + "b", "a." * 89 + "a...", "has 30,001 segments, more than 64: use fewer"),
        ("x" * 1025, "x" * 179 + "...", "has 1,025 bytes, more than 1,024: shorten it, or put what varies"),
        ("ä" * 513, "ä" * 179 + "...", "has 1,026 bytes, more than 1,024: shorten it, or put what varies"),
    ],
)
def test_names_that_are_too_long(registry: Registry, kind: str, name: str, beginning: str, message: str) -> None:
    """They are refused where the metric is made, and where a series arrives. The error shows where they begin."""
    with pytest.raises(InvalidNameError) as caught:
        getattr(registry, kind)(name)
    with pytest.raises(InvalidNameError) as arriving:
        check_series(name, ())

    assert str(caught.value).startswith(f"The metric name '{beginning}")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 350
    assert str(arriving.value) == str(caught.value)
    assert len(registry) == 0


LONGEST_TAGS = {**{f"{number:02}": "v" for number in range(62)}, "k" * 256: "v" * 4096, "ä" * 128: "ä" * 2048}


def test_the_longest_tags(registry: Registry) -> None:
    """A series has up to 64 tags, with keys of up to 256 bytes of UTF-8 and values of up to 4,096."""
    tags = registry.counter("m", LONGEST_TAGS).tags

    assert dict(tags) == LONGEST_TAGS
    check_series("m", tags)


def test_a_metric_with_the_longest_tags_is_shown_in_short(registry: Registry) -> None:
    """Its representation goes into errors and log lines, which have an end."""
    made = registry.counter("x" * 1024, LONGEST_TAGS)

    assert repr(made) == f"<Counter '{'x' * 179}... {{{tag_label(made.tags)[:200]}...}}>"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({**LONGEST_TAGS, "z": "v"}, "'m' has 65 tags, more than 64: leave some out."),
        ({"k" * 257: "v"}, f"The tags of 'm' have the key '{'k' * 179}... of 257 bytes, more than 256: shorten it."),
        ({"ä" * 129: "v"}, f"The tags of 'm' have the key '{'ä' * 129}' of 258 bytes, more than 256: shorten it."),
        ({"k": "v" * 4097}, f"The tags of 'm' have the value '{'v' * 179}... of 4,097 bytes, more than 4,096: shorten"),
        ({"k": "ä" * 2049}, f"The tags of 'm' have the value '{'ä' * 179}... of 4,098 bytes, more than 4,096: shorten"),
    ],
)
def test_tags_that_are_too_many_or_too_long(registry: Registry, kind: str, tags: Dict[str, str], message: str) -> None:
    """They are refused where the metric is made, and where a series arrives. The error shows where they begin."""
    with pytest.raises(InvalidTagsError) as caught:
        getattr(registry, kind)("m", tags=tags)
    with pytest.raises(InvalidTagsError) as arriving:
        check_series("m", tuple(sorted(tags.items())))

    assert str(caught.value).startswith(message)
    assert str(arriving.value) == str(caught.value)
    assert len(registry) == 0


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ((("", "v"),), "The tags of 'm' have an empty key, with the value 'v': name the key, or leave it out."),
        ((("k", "v"), ("k", "w")), "The tags of 'm' have the key 'k' twice: leave one out."),
        (
            (("l", "v"), ("k", "w")),
            "The tags of 'm' are not sorted: sort them by their keys, not (('l', 'v'), ('k', 'w')).",
        ),
    ],
)
def test_tags_that_no_registry_has_made(tags: Tags, message: str) -> None:
    """What arrives is canonical, or it is refused: the same series could come under two namings."""
    with pytest.raises(InvalidTagsError) as caught:
        check_series("m", tags)

    assert str(caught.value) == message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tags", [["k"], [], [("k", "v")], "kv", "", 0, 1, False, {"k"}, (), ("k", "v"), object()])
def test_tags_that_are_no_mapping(registry: Registry, kind: str, tags: Any) -> None:
    """Not even what is empty is taken for no tags, also where the name is known."""
    for _ in range(2):
        with pytest.raises(InvalidTagsError) as caught:
            getattr(registry, kind)("m", tags=tags)

        assert str(caught.value) == (
            "The tags of 'm' are a mapping of str to str, like {'queue': 'mail'}, "
            f"not {tags!r} ({type(tags).__name__})."
        )
        assert names(registry) in ([], ["m", "m"])
        getattr(registry, kind)("m")
        getattr(registry, kind)("m", tags={"k": "v"})


def names(registry: Registry) -> List[str]:
    """Return the names of all series."""
    return [metric.name for metric in registry]


NOT_OF_STR = "The tags of 'm' are a mapping of str to str, but "


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"k": 1}, NOT_OF_STR + "'k' (str) is mapped to 1 (int): use str()."),
        ({1: "v"}, NOT_OF_STR + "1 (int) is mapped to 'v' (str): use str()."),
        ({"a": "b", "k": None}, NOT_OF_STR + "'k' (str) is mapped to None (NoneType): use str()."),
        ({"k": ["v"]}, NOT_OF_STR + "'k' (str) is mapped to ['v'] (list): use str()."),
        ({"k": True}, NOT_OF_STR + "'k' (str) is mapped to True (bool): use str()."),
        ({None: "v"}, NOT_OF_STR + "None (NoneType) is mapped to 'v' (str): use str()."),
        ({"": "v"}, "The tags of 'm' have an empty key, with the value 'v': name the key, or leave it out."),
    ],
)
def test_tags_that_are_not_of_str(registry: Registry, kind: str, tags: Any, message: str) -> None:
    """Keys and values are str; the error says which is not."""
    for _ in range(2):
        with pytest.raises(InvalidTagsError) as caught:
            getattr(registry, kind)("m", tags=tags)

        assert str(caught.value) == message
    assert len(registry) == 0


class Colour(str, Enum):
    """A str that shows itself as something else than the characters that it is equal to."""

    RED = "red"


class Loud(str):
    """A str that does not even have its characters' hash."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.parametrize("first", ["red", Colour.RED, Loud("red")], ids=["str", "Enum", "subclass"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_subclass_of_str_is_its_characters(registry: Registry, kind: str, first: str) -> None:
    """As a name, a key and a value, whoever has asked first: it is the same series, of plain strings."""
    make = getattr(registry, kind)
    words: List[str] = [first, "red", Colour.RED, Loud("red")]
    for _ in range(2):
        made = {make(name, tags={key: value}) for name in words for key in words for value in words}
        untagged = {make(name) for name in words}

        assert (len(made), len(untagged)) == (1, 1)
    (series,) = made
    assert (series.name, series.tags) == ("red", (("red", "red"),))
    assert {type(text) for text in (series.name, *series.tags[0])} == {str}
    assert next(iter(registry.get_stats()["red"])) == "red=red"
    assert registry.remove(Colour.RED, {Colour.RED: Colour.RED})
    assert names(registry) == ["red"]


def test_equal_keys_that_are_two_objects(registry: Registry) -> None:
    """A mapping that has the same characters twice says two things of one tag."""
    with pytest.raises(InvalidTagsError, match=re.escape("The tags of 'm' have the key 'k' twice: leave one out.")):
        registry.counter("m", {Loud("k"): "v", "k": "w"})


@pytest.mark.parametrize("tags", [OrderedDict(k="v"), MappingProxyType({"k": "v"})])
def test_any_mapping_will_do(registry: Registry, tags: Any) -> None:
    """It need not be a dict."""
    assert registry.counter("m", tags) is registry.counter("m", {"k": "v"}) is registry.counter("m", tags)


def test_labels_of_tags(registry: Registry) -> None:
    """A tagged series is called by its sorted tags, with what separates them escaped."""
    labels: List[Tuple[str, Dict[str, str]]] = [
        ("k=v", {"k": "v"}),
        ("k=v,l=w", {"l": "w", "k": "v"}),
        ("k=v\\,l=w", {"k": "v,l=w"}),
        ("k=v\\\\,l=w", {"k": "v\\", "l": "w"}),
        ("k=v\\\\\\,l=w", {"k": "v\\,l=w"}),
        ("k\\=v\\,l=w", {"k=v,l": "w"}),
        ("k=", {"k": ""}),
        ("k==v", {"k": "=v"}),
        ("k\\==v", {"k=": "v"}),
        ("k=a.b", {"k": "a.b"}),
    ]
    for number, (_, tags) in enumerate(labels):
        registry.counter("m", tags).increment(number)

    assert registry.get_stats() == {"m": {label: {"value": number} for number, (label, _) in enumerate(labels)}}


TEXTS = st.text("ab,=\\.", max_size=4)
TAGS = st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3)


@LAW
@given(TAGS, TAGS)
def test_different_tags_have_different_labels(one: Dict[str, str], other: Dict[str, str]) -> None:
    """Whatever separators are in them."""
    labels = [tag_label(canonical_tags(tags)) for tags in (one, other)]

    assert (labels[0] == labels[1]) == (one == other)


def test_a_metric_above_another(registry: Registry) -> None:
    """`a.b` and `a.b.c` may both be metrics, made in any order, of any kinds."""
    registry.timer("a.b")
    registry.meter("a.b.c")
    registry.counter("a")
    registry.histogram("a.b.c.d.e")
    registry.gauge("a.b.c.d")
    registry.counter("a.counts")
    registry.counter("countless.count")

    assert len(registry) == 7


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("counter", "value"),
        ("gauge", "value"),
        ("meter", "count m1 m5 m15"),
        ("histogram", "count sum min max mean stddev q50 q75 q95 q98 q99 q999"),
        ("timer", "count m1 m5 m15 sum min max mean stddev q50 q75 q95 q98 q99 q999"),
    ],
)
def test_a_key_of_a_metric_above_is_no_segment(kind: str, keys: str) -> None:
    """It is refused in both orders, below that segment as well, and for every key."""
    for key in keys.split():
        for below in (f"a.b.{key}", f"a.b.{key}.more"):
            first, second = Registry(), Registry()
            getattr(first, kind)("a.b")
            second.counter(below)

            with pytest.raises(NameCollisionError) as downwards:
                first.counter(below)
            with pytest.raises(NameCollisionError) as upwards:
                getattr(second, kind)("a.b")

            assert str(downwards.value) == (
                f"{below!r} cannot be a metric, because 'a.b' is a {kind.capitalize()} and {key!r} is one of its "
                "own keys: choose another name."
            )
            assert str(upwards.value) == (
                f"'a.b' cannot be a {kind.capitalize()}, because {key!r} is one of its keys and there are metrics "
                f"under 'a.b.{key}': choose another name."
            )
            assert (names(first), names(second)) == (["a.b"], [below])


def test_a_segment_that_is_a_key_of_another_kind(registry: Registry) -> None:
    """Only real collisions are refused."""
    registry.counter("a")
    registry.counter("a.count")
    registry.meter("b")
    registry.counter("b.value")
    registry.counter("c.sum.x")
    registry.meter("c")

    assert registry.get_stats().a == {"value": 0, "count": {"value": 0}}


def test_a_label_of_a_metric_above_is_no_segment(registry: Registry) -> None:
    """A tagged series is a child of its name, which no metric may be mistaken for, in both orders."""
    registry.counter("a", {"k": "v"})
    registry.counter("b.k=v")

    with pytest.raises(NameCollisionError, match=re.escape("'a.k=v' cannot be a metric, because 'a' is a Counter")):
        registry.counter("a.k=v")
    with pytest.raises(
        NameCollisionError, match=re.escape("'b' cannot be a Counter, because 'k=v' is one of its keys")
    ):
        registry.counter("b", {"k": "v"})
    assert names(registry) == ["a", "b.k=v"]
    registry.counter("b", {"k": "w"})
    registry.counter("a.k=w")


def test_a_label_with_a_dot_is_one_child(registry: Registry) -> None:
    """It has no segments, so that a name with the same letters is elsewhere in the tree."""
    registry.counter("a.k=1.5").increment(1)
    registry.counter("a", {"k": "1.5"}).increment(2)

    assert registry.get_stats() == {"a": {"k=1": {"5": {"value": 1}}, "k=1.5": {"value": 2}}}


def test_what_was_refused_leaves_no_trace(registry: Registry) -> None:
    """The names of refused metrics are as free as before."""
    registry.meter("a")
    for refused in (
        lambda: registry.counter("a.count"),
        lambda: registry.counter("a.count.b", {"k": "v"}),
        lambda: registry.timer("a", {"k": "v"}),
        lambda: registry.gauge("x", merge="no"),
        lambda: registry.gauge("x", 3),  # type: ignore[arg-type]  # on purpose
        lambda: registry.counter("x", {"k": 1}),  # type: ignore[dict-item]  # on purpose
        lambda: registry.counter("x."),
    ):
        with pytest.raises(MetricError):
            refused()

    assert names(registry) == ["a"]
    registry.remove("a")
    assert registry.timer("x").kind == "timer"
    assert registry.histogram("a.count").kind == "histogram"
    assert registry.counter("a").kind == "counter"
