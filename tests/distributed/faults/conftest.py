"""What the tests of faults share."""

from __future__ import annotations

import sys
from typing import Iterator

import pytest

from tests.distributed.faults import processes
from tests.distributed.faults.processes import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """Provide a place for an aggregator and its workers."""
    if not sys.platform.startswith("linux"):
        pytest.skip("These faults are made by the means of Linux.")
    with processes.site() as place:
        yield place
