"""Reporters that serve pages, of each kind, and clients that connect to them."""

from __future__ import annotations

from typing import Iterator

import pytest

from tapes.pages.reporter import PageReporter
from tests.pages.serving import REPORTERS, Connect, FaultyRegistry, MakeReporter, connecting, reporters
from tests.servers.processes import free_port


@pytest.fixture
def registry() -> FaultyRegistry:
    """Make a registry that holds one counter, and counts the pages that are made of it."""
    return FaultyRegistry()


@pytest.fixture(params=REPORTERS)
def make(request: pytest.FixtureRequest) -> Iterator[MakeReporter]:
    """Give the way to make reporters that serve at a port of their own, of each kind."""
    with reporters(request.param) as make:
        yield make


@pytest.fixture
def reporter(make: MakeReporter, registry: FaultyRegistry) -> Iterator[PageReporter]:
    """Serve the registry, at a port that nobody else is given when it is free again."""
    with make(free_port(), registry) as reporter:
        yield reporter


@pytest.fixture
def connect(reporter: PageReporter) -> Iterator[Connect]:
    """Connect to it, as often as a test likes."""
    with connecting(reporter.port) as connect:
        yield connect
