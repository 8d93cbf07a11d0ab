"""What is said of a name: its description and its unit."""

from __future__ import annotations

import copy
import inspect
import pickle
from enum import Enum
from typing import Any, Callable, Dict, List, Tuple

import pytest

import tapes
from tapes.errors import InvalidTypeError, InvalidValueError, KindMismatchError, MetricError
from tapes.facts import NO_FACTS, Facts
from tapes.registry import Registry

KINDS = ["counter", "gauge", "histogram", "meter", "timer"]

SAID = Facts("Orders that were placed.", "orders")


def facts_of(registry: Registry) -> List[Tuple[str, Facts]]:
    """Return the name and the facts of each reading."""
    return [(reading.name, reading.facts) for reading in registry.snapshot().readings]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_that_is_given_stays(registry: Registry, kind: str) -> None:
    """Description and unit each for itself, whenever they are given, and whichever series of the name is asked for."""
    make: Any = getattr(registry, kind)
    metric = make("a")
    assert facts_of(registry) == [("a", NO_FACTS)]
    assert make("a", tags={"k": "v"}, description="First.") is not metric
    assert make("a", description="Second.", unit="bytes") is metric
    assert make("a", unit="seconds") is metric
    assert make("a") is metric

    assert facts_of(registry) == [("a", Facts("First.", "bytes"))] * 2
    assert registry.facts("a") == Facts("First.", "bytes")


@pytest.mark.parametrize("kind", KINDS)
def test_module_level_functions_take_them(kind: str) -> None:
    """Those of the default registry."""
    getattr(tapes, kind)(f"facts.{kind}", description="What it is.", unit="things")

    assert tapes.registry.DEFAULT_REGISTRY.facts(f"facts.{kind}") == Facts("What it is.", "things")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_said_leaves_the_place_to_what_comes(registry: Registry, kind: str, nothing: Any) -> None:
    """None and an empty text say nothing."""
    make: Any = getattr(registry, kind)
    make("a", description=nothing, unit=nothing)
    make("a", description="What it is.")

    assert registry.facts("a") == Facts("What it is.", "")


def test_plain_strings_are_kept(registry: Registry) -> None:
    """A member of an Enum that is a str counts as its characters."""

    class Unit(str, Enum):
        BYTES = "bytes"

    registry.counter("a", unit=Unit.BYTES)

    assert registry.facts("a").unit == "bytes"
    assert type(registry.facts("a").unit) is str


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"description": 3},
            InvalidTypeError,
            (
                "The description of 'a' is a str, like 'Orders that were placed.', not 3 (int): use str(), or leave it "
                "out."
            ),
        ),
        (
            {"unit": b"s"},
            InvalidTypeError,
            "The unit of 'a' is a str, like 'bytes', not b's' (bytes): use str(), or leave it out.",
        ),
        (
            {"description": "one\ntwo"},
            InvalidValueError,
            r"The description of 'a' is one line, not 'one\ntwo': put spaces in place of the line breaks.",
        ),
        (
            {"unit": "s\r"},
            InvalidValueError,
            r"The unit of 'a' is one line, not 's\r': put spaces in place of the line breaks.",
        ),
        (
            {"unit": "é" * 33},
            InvalidValueError,
            f"The unit of 'a', '{'é' * 33}', has 66 bytes, more than 64: shorten it.",
        ),
        (
            {"description": "d" * 4097},
            InvalidValueError,
            f"The description of 'a', '{'d' * 179}..., has 4,097 bytes, more than 4,096: shorten it.",
        ),
    ],
)
def test_what_is_refused(
    registry: Registry, kind: str, there: bool, given: Dict[str, Any], error: type, message: str
) -> None:
    """The error names the metric, the value and the remedy, and nothing is made or said."""
    make: Any = getattr(registry, kind)
    if there:
        make("a", description="What it is.", unit="things")
    with pytest.raises(MetricError) as caught:
        make("a", **given)

    assert type(caught.value) is error
    assert str(caught.value) == message
    assert facts_of(registry) == ([("a", Facts("What it is.", "things"))] if there else [])


def test_the_longest(registry: Registry) -> None:
    """What is as long as it may be is taken."""
    registry.counter("a", description="é" * 2048, unit="u" * 64)

    assert registry.facts("a") == Facts("é" * 2048, "u" * 64)


def test_another_kind_says_nothing(registry: Registry) -> None:
    """Who asks for a name as another kind is refused, with all that it says."""
    registry.counter("a")
    with pytest.raises(KindMismatchError):
        registry.timer("a", description="What it is.")

    assert registry.facts("a") == NO_FACTS


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_keywords_only(registry: Registry, kind: str) -> None:
    """Python's own errors say so, with the name of the function, and so do its signature and help."""
    make: Any = getattr(registry, kind)
    before: List[Any] = [None] * (3 if kind == "gauge" else 1)
    with pytest.raises(TypeError, match=rf"{kind}\(\) takes from 2 to {len(before) + 2} positional arguments but"):
        make("a", *before, "What it is.")
    with pytest.raises(TypeError, match=rf"{kind}\(\) got an unexpected keyword argument 'descripton'"):
        make("a", descripton="What it is.")
    parameters = inspect.signature(make).parameters

    assert len(registry) == 0
    assert list(parameters)[-2:] == ["description", "unit"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("description", "unit"))
    assert make.__name__ == kind
    assert str(make.__doc__).startswith(f"Return the {kind} of this name and tags")


def test_the_series_that_takes_the_rest_has_them_too() -> None:
    """They are those of its name."""
    registry = Registry(max_tag_sets=1)
    for number in range(3):
        registry.counter("a", {"number": str(number)}, description="What it is.")

    assert facts_of(registry) == [("a", Facts("What it is.", ""))] * 2


def remove_by_series(registry: Registry) -> None:
    """Remove the metric by each of its series: until the last has gone, it is known what the metric is."""
    registry.remove("a", {})
    assert registry.facts("a") == Facts("First.", "")
    registry.remove("a", {"k": "v"})


@pytest.mark.parametrize("remove", [lambda registry: registry.remove("a"), remove_by_series, Registry.clear])
def test_what_is_removed_is_forgotten(registry: Registry, remove: Callable[[Registry], object]) -> None:
    """With the last series of a name what was said of it goes, and who makes it again says what it is."""
    registry.counter("a", description="First.")
    registry.counter("a", {"k": "v"})
    remove(registry)
    registry.counter("b", description="Beside it.")
    assert registry.facts("a") == NO_FACTS
    registry.timer("a", description="Second.")

    assert facts_of(registry) == [("b", Facts("Beside it.", "")), ("a", Facts("Second.", ""))]


def test_isolation_gives_back_what_was_said_before(registry: Registry) -> None:
    """What a test says of names that were there does not outlive it; what was said before holds inside, too."""
    registry.counter("said", description="Before.")
    registry.counter("unsaid")
    with registry.isolated():
        registry.counter("said", description="Inside.", unit="inside")
        held = registry.counter("unsaid", {"k": "v"}, description="Inside.")
        assert registry.facts("said") == Facts("Before.", "inside")
    held.increment()

    assert facts_of(registry) == [("said", Facts("Before.", "")), ("unsaid", NO_FACTS), ("unsaid", NO_FACTS)]


def test_what_is_made_in_an_isolation_keeps_what_was_said_of_it(registry: Registry) -> None:
    """As of a module that was imported there. It counts until somebody says something else."""
    with registry.isolated():
        held = registry.counter("a", description="Inside.", unit="inside")
    assert facts_of(registry) == []
    held.increment()
    assert facts_of(registry) == [("a", Facts("Inside.", "inside"))]
    with registry.isolated():
        registry.counter("a", description="In another test.")
        assert facts_of(registry) == [("a", Facts("In another test.", "inside"))]
    registry.counter("a", description="Afterwards.")

    assert facts_of(registry) == [("a", Facts("Afterwards.", "inside"))]


def test_what_is_made_in_an_isolation_is_forgotten_when_it_is_removed(registry: Registry) -> None:
    """Each name with its last series."""
    with registry.isolated():
        for tags in ({}, {"k": "v"}):
            registry.counter("a", tags, description="Inside.")
    registry.remove("a", {})
    assert registry.facts("a") == Facts("Inside.", "")
    registry.remove("a")
    assert registry.facts("a") == NO_FACTS
    with registry.isolated():
        registry.counter("a", description="Inside.")
    registry.clear()

    assert registry.facts("a") == NO_FACTS


def test_observers_find_them(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told of a new metric finds what has been said of it."""
    found: List[Facts] = []
    monkeypatch.setattr("tapes.observers.metric_created", [lambda where, made: found.append(where.facts(made.name))])

    registry.counter("a", description=SAID.description, unit=SAID.unit)

    assert found == [SAID]


def test_readings_that_are_copied_or_pickled_keep_them(registry: Registry) -> None:
    """In a snapshot that goes to another process, too."""
    registry.counter("a", description=SAID.description, unit=SAID.unit)
    readings = registry.snapshot().readings

    assert copy.deepcopy(readings[0]).facts == SAID
    assert [reading.facts for reading in pickle.loads(pickle.dumps(readings))] == [SAID]
