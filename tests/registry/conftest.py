"""What the tests of the registry share."""

from __future__ import annotations

from typing import Iterator, List, Tuple

import pytest

from tapes import observers
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.testing import ManualClock


@pytest.fixture
def registry() -> Registry:
    """Return an empty registry, whose clock stands still."""
    return Registry(clock=ManualClock())


@pytest.fixture
def created() -> Iterator[List[Tuple[Registry, Instrument]]]:
    """Return a list to which each new metric is added, with its registry."""
    found: List[Tuple[Registry, Instrument]] = []

    def observe(registry: Registry, metric: Instrument) -> None:
        found.append((registry, metric))

    observers.metric_created.append(observe)
    try:
        yield found
    finally:
        observers.metric_created.remove(observe)
