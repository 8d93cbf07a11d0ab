"""What depends on the kind of a metric is in the module of that kind, and nowhere else."""

from __future__ import annotations

import ast
import json
import pickle
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest

import tapes
from tapes.distributed.merging import class_of
from tapes.instruments import Instrument
from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.kind import Kind
from tapes.kinds.meter import METER
from tapes.kinds.timer import TIMER
from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock

KINDS = (COUNTER, GAUGE, HISTOGRAM, METER, TIMER)
KEYS = {key for kind in KINDS for key in kind.keys}
MODULES = {
    path.relative_to(folder).as_posix(): path for folder in map(Path, tapes.__path__) for path in folder.rglob("*.py")
}
"""All modules of all distributions, wherever they are installed."""
OWN: Dict[str, Kind] = {f"kinds/{kind}.py": kind for kind in KINDS}
"""The module of each kind."""


def literals(source: str) -> Iterator[Set[str]]:
    """Yield the strings of each literal: those of a collection together, and any other by itself.

    Without `__all__`, which names functions.
    """
    tree = ast.parse(source)
    exported = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets)
    ]
    left_out = {id(inner) for node in exported for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        parts: List[Any] = [node]
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            parts = node.elts
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        strings = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
        if strings:
            yield strings


@pytest.mark.parametrize("path", sorted(MODULES))
def test_no_other_module_knows_kinds_by_their_names_or_keys(path: str) -> None:
    """A new kind changes none of them. Kinds do not know one another by name either."""
    found = list(literals(MODULES[path].read_text(encoding="utf-8")))
    own = OWN.get(path)

    assert [names for names in found if names & set(KINDS) - {own}] == []
    assert [keys for keys in found if len(keys) > 1 and keys <= KEYS - set(own.keys if own else ())] == []


def test_literals_are_found() -> None:
    """However they are written."""
    source = """
__all__ = ["meter"]
if kind == "counter": gauge("timer")
KEYS = ("count", "m1", *others)
BY_KEY = {"min": 1, **others, "max": 2}
"""
    found = list(literals(source))

    assert [names for names in found if names & set(KINDS)] == [{"counter"}, {"timer"}]
    assert [keys for keys in found if len(keys) > 1 and keys <= KEYS] == [{"count", "m1"}, {"min", "max"}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_its_name(kind: Kind) -> None:
    """To whoever compares, looks up, writes or pickles it; elsewhere it is a plain string."""
    name = str(kind)
    sent = pickle.loads(pickle.dumps(kind))

    assert type(name) is str
    by_kind: Dict[str, int] = {kind: 1}
    assert (kind == name, name == kind, {name: 1}[kind], by_kind[name]) == (True, True, 1, 1)
    assert (f"{kind}", repr(kind), json.dumps(kind)) == (name, repr(name), json.dumps(name))
    assert (type(sent), sent) == (str, name)


def recorded(kind: Kind, registry: Registry) -> Instrument:
    """Return a metric of a kind to which something has been recorded."""
    metric: Any = getattr(registry, kind)(f"recorded.{kind}")
    getattr(metric, {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update"))(3)
    return metric  # type: ignore[no-any-return]  # it is


@pytest.mark.parametrize("kind", KINDS)
def test_instruments_and_merged_series_have_the_kind(kind: Kind) -> None:
    """Readings name it, and their statistics have its keys."""
    metric = recorded(kind, Registry())
    merged = class_of(kind)("merged", ())

    assert metric.kind is merged.kind is kind
    assert metric.keys == merged.keys == kind.keys
    for each in (metric, merged):
        reading = Reading.of(each, 0.0)
        assert reading.kind == str(kind)
        assert tuple(reading.statistics) == kind.keys


@pytest.mark.parametrize("kind", KINDS)
def test_zero_is_what_a_new_metric_has(kind: Kind) -> None:
    """It is empty, and changes nothing that it is merged with."""
    clock = ManualClock(100.0)
    registry = Registry(clock=clock)
    state = recorded(kind, registry).read(clock.monotonic())
    new = getattr(registry, kind)("new").read(clock.monotonic())
    clock.advance(7.0)
    now = clock.monotonic()

    assert kind.view(kind.zero(100.0), now) == kind.view(new, now)
    assert kind.is_empty(kind.zero(100.0))
    assert kind.is_empty(new)
    assert not kind.is_empty(state)
    assert kind.view(kind.merge([kind.zero(0.0), state]), now) == kind.view(state, now)
    assert kind.merge([state]) is state or kind.view(kind.merge([state]), now) == kind.view(state, now)


def test_what_has_come_to_nothing_is_empty() -> None:
    """A counter of which as much was taken away as was added; a gauge at zero has a value, a histogram of zeros too."""
    registry = Registry(clock=ManualClock())
    registry.counter("counter").increment(3)
    registry.counter("counter").decrement(3)
    registry.gauge("gauge").set(0)
    registry.histogram("histogram").update(0)
    registry.meter("meter").mark(0)
    registry.timer("timer").update(0)

    empty = {metric.name: metric.kind.is_empty(metric.read(0.0)) for metric in registry}

    assert empty == {"counter": True, "gauge": False, "histogram": False, "meter": True, "timer": False}
    assert {metric.name: metric.is_at_zero(0.0) for metric in registry} == empty


@pytest.mark.parametrize("kind", KINDS)
def test_to_merge_many_is_to_merge_one_after_the_other(kind: Kind) -> None:
    """Whatever their order, also of meters that are at several ticks."""
    clock = ManualClock(100.0)
    states: List[Any] = []
    for number in range(8):
        registry = Registry(clock=clock)
        states += [recorded(kind, registry).read(clock.monotonic()) for _ in range(2)]
        clock.advance(4.0 if number % 3 else 0.5)
    now = clock.monotonic()
    one_by_one = states[0]
    for state in states[1:]:
        one_by_one = one_by_one.merge(state)

    wanted: Dict[str, Any] = dict(kind.view(one_by_one, now))
    for order in (states, states[::-1], states[8:] + states[:8]):
        assert kind.view(kind.merge(order), now) == pytest.approx(wanted, rel=1e-12)
    assert wanted["count" if "count" in wanted else "value"] > 16


def test_only_gauges_are_of_this_moment() -> None:
    """Of all other kinds what a process has recorded counts when it is gone."""
    assert [kind for kind in KINDS if not kind.lasts] == [GAUGE]
