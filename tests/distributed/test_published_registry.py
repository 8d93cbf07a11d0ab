"""The options of a registry that publishes itself are those of its reporter, and those of every registry."""

from __future__ import annotations

import inspect
from datetime import timedelta

from tapes.distributed.registry import DistributedRegistry
from tapes.distributed.reporter import ZmqReporter
from tapes.registry import Registry
from tapes.reporting.signatures import signature_of
from tapes.testing import ManualClock


def test_its_options_are_those_that_it_is_made_of() -> None:
    """With the same types and defaults, by name only after the address, and documented."""
    options = inspect.signature(DistributedRegistry).parameters
    sources = {**signature_of(Registry.__init__).parameters, **signature_of(ZmqReporter.__init__).parameters}
    sources["clock"] = signature_of(Registry.__init__).parameters["clock"]

    assert list(options) == ["socket_addr", "interval", "keys", "insecure", "trust", "clock", "max_tag_sets"]
    assert {name: (each.annotation, each.default) for name, each in options.items()} == {
        name: (sources[name].annotation, sources[name].default) for name in options
    }
    assert [name for name, each in options.items() if each.kind is not each.KEYWORD_ONLY] == ["socket_addr"]
    assert [name for name in options if f"`{name}" not in str(DistributedRegistry.__init__.__doc__)] == []


def test_its_options_reach_the_reporter_and_the_registry() -> None:
    """The interval may be a timedelta, as everywhere."""
    clock = ManualClock()

    registry = DistributedRegistry("ipc://a", interval=timedelta(minutes=1), clock=clock, max_tag_sets=7)

    assert (registry.clock, registry.max_tag_sets) == (clock, 7)
    assert registry.address.text.endswith("/a")
    assert (registry._publisher.interval, registry._publisher.registry) == (60.0, registry)
