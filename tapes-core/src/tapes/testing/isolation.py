"""A clean slate for one test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Optional, TypeVar

from tapes.registry import DEFAULT_REGISTRY, Registry

AnyRegistry = TypeVar("AnyRegistry", bound=Registry)


@contextmanager
def isolated_registry(registry: Optional[AnyRegistry] = None) -> Iterator[Registry]:
    """Isolate a test from what others have put into a registry, by default that of the process. Yields the registry.

    Inside, every metric that exists starts from zero, those that modules have made at import time and hold on to
    included. In the end all have their values back. Metrics that were made inside are not shown any more, but they are
    not lost either: a module that was imported by the test goes on with its own. They are there again, at zero, when
    they are asked for or recorded to. As a fixture of pytest:

        @pytest.fixture(autouse=True)
        def registry():
            with isolated_registry() as registry:
                yield registry

    For one thread: what others record meanwhile is on the slate, and is wiped off with it.
    """
    isolated: Registry = DEFAULT_REGISTRY if registry is None else registry
    with isolated.isolated():
        yield isolated
