"""What the tests of concurrency share."""

from __future__ import annotations

import pytest

from tapes.testing import ManualClock


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()
