"""Too many tags: memory stays bounded and totals stay true."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tapes.errors import InvalidValueError
from tapes.registry import Registry
from tapes.testing import ManualClock

WARNING = (
    "'m' has 3 different tag sets, which is the limit: records of further ones go to its series tagged overflow=true. "
    "Use fewer values for each tag, or raise max_tag_sets of the registry."
)


@pytest.fixture
def registry() -> Registry:
    """Return a registry in which a name has at most three tag sets."""
    return Registry(clock=ManualClock(), max_tag_sets=3)


def test_the_total_is_kept(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """What is recorded under further tags goes to one series, and that is logged once."""
    for turn in range(3):
        for user in range(10):
            registry.counter("m", {"user": str(user)}).increment(1 + turn)
    registry.counter("m").increment(100)

    assert registry.get_stats() == {
        "m": {
            "user=0": {"value": 6},
            "user=1": {"value": 6},
            "user=2": {"value": 6},
            "overflow=true": {"value": 42},
            "value": 100,
        }
    }
    assert len(registry) == 5
    assert caplog.record_tuples == [("tapes.registry", logging.WARNING, WARNING)]


@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram", "meter", "timer"])
def test_every_kind_overflows(registry: Registry, kind: str) -> None:
    """All tags beyond the limit give the same series, those known before their own."""
    made = [getattr(registry, kind)("m", tags={"user": str(user)}) for user in range(6)]

    assert len({id(series) for series in made}) == 4
    assert made[3] is made[4] is made[5] is getattr(registry, kind)("m", tags={"overflow": "true"})
    assert made[3].tags == (("overflow", "true"),)
    assert [getattr(registry, kind)("m", tags={"user": str(user)}) for user in range(6)] == made


def test_gauges_with_producers_overflow(registry: Registry) -> None:
    """A further producer is left out, as there is but one value; the program goes on."""
    for user in range(6):
        registry.gauge("m", lambda user=user: user, tags={"user": str(user)})  # type: ignore[misc]  # no way to tell

    stats = registry.get_stats()

    assert [stats.m[f"user={user}"].value for user in range(3)] == [0, 1, 2]
    assert len(registry) <= 4


def test_the_limit_is_for_each_name(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Another name has tag sets of its own, and is logged by itself."""
    for name in ("m", "n", "o"):
        for user in range(4 if name != "o" else 3):
            registry.counter(name, {"user": str(user)})

    assert len(registry) == 4 + 4 + 3
    assert [message[:3] for message in caplog.messages] == ["'m'", "'n'"]


def test_removing_a_series_makes_room(registry: Registry) -> None:
    """The limit is on what there is."""
    for user in range(4):
        registry.counter("m", {"user": str(user)})
    registry.remove("m", {"user": "0"})

    assert registry.counter("m", {"user": "9"}).tags == (("user", "9"),)
    assert registry.counter("m", {"user": "10"}).tags == (("overflow", "true"),)


def test_removing_another_metric_is_no_reason_to_log_again(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each name is once."""
    for user in range(5):
        registry.counter("m", {"user": str(user)})
    registry.counter("other")
    registry.remove("other")
    registry.counter("m", {"user": "7"})

    assert len(caplog.messages) == 1


def test_the_limit_is_two_thousand_unless_told(caplog: pytest.LogCaptureFixture) -> None:
    """As documented."""
    registry = Registry()
    for user in range(2001):
        registry.counter("m", {"user": str(user)})

    assert len(registry) == 2001
    assert registry.counter("m", {"user": "2000"}).tags == (("overflow", "true"),)
    assert len(caplog.messages) == 1


def test_a_series_that_was_called_so_by_the_program(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """It is the series that takes what overflows, and does not count as a tag set."""
    own = registry.counter("m", {"overflow": "true"})
    for user in range(3):
        registry.counter("m", {"user": str(user)})
    assert caplog.messages == []

    assert registry.counter("m", {"user": "3"}) is own
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("limit", [0, -1, "3", 2.5, None, True])
def test_a_limit_that_is_none(limit: Any) -> None:
    """It is refused where it is given, and not when the first tags come."""
    with pytest.raises(InvalidValueError) as caught:
        Registry(max_tag_sets=limit)

    assert str(caught.value) == (f"max_tag_sets is how many tag sets a name may have, an int from 1, not {limit!r}.")
