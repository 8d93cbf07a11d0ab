"""An isolated registry for a test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Optional, TypeVar

from tapes.registry import DEFAULT_REGISTRY, Registry

AnyRegistry = TypeVar("AnyRegistry", bound=Registry)


@contextmanager
def isolated_registry(registry: Optional[AnyRegistry] = None) -> Iterator[Registry]:
    """Isolate a test from earlier content of a registry, by default that of the process. Yields the registry.

    Inside, all metrics start from zero, those that modules made at import time included. At the end all get their
    values back. Metrics made inside become hidden, but are not lost: a module that the test imported may keep its own.
    They are visible again, from zero, once they are asked for or recorded to. As a fixture of pytest:

        @pytest.fixture(autouse=True)
        def registry():
            with isolated_registry() as registry:
                yield registry

    For one thread: what other threads record meanwhile counts inside, and is dropped at the end.
    """
    isolated: Registry = DEFAULT_REGISTRY if registry is None else registry
    with isolated.isolated():
        yield isolated
