"""What the tests of instruments share."""

from __future__ import annotations

import pytest

from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.instruments.bench import Bench


@pytest.fixture
def bench() -> Bench:
    """Return fresh metrics of each kind that has scopes."""
    return Bench()


@pytest.fixture
def registry() -> Registry:
    """Return an empty registry, whose clock stands still."""
    return Registry(clock=ManualClock())
