"""A place for programs of several processes."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.distributed.whole.programs import Place


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a folder in which programs run, none of which outlives the test."""
    with Place() as made:
        yield made
