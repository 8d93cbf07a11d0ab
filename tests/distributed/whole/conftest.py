"""A place for programs of several processes."""

from __future__ import annotations

from typing import Iterator

import pytest

pytest.register_assert_rewrite("tests.distributed.whole.programs")

from tests.distributed.whole.programs import Place  # noqa: E402  its assertions show what they compare from here on


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a folder in which programs run, none of which outlives the test."""
    with Place() as made:
        yield made
