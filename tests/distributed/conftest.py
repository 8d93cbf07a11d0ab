"""What the tests of aggregators and their workers share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import pytest

from tests.distributed.faults.processes import short_folder
from tests.servers.installed import missing

pytest.register_assert_rewrite("tests.distributed.one_call", "tests.distributed.whole.programs")

from tests.distributed.whole.programs import Place  # noqa: E402  its assertions show what they compare from here on


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder with a short path, as sockets need it."""
    with short_folder() as made:
        yield made


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a folder in which programs run, none of which outlives the test."""
    with Place() as made:
        yield made


@pytest.fixture
def root() -> None:
    """Skip the test for users who cannot give files away, nor become another user."""
    if os.geteuid() != 0:
        missing("only root can give files away and become another user: run the tests as root")
