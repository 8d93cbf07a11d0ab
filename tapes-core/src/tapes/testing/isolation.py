"""A clean slate for one test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from tapes.registry import DEFAULT_REGISTRY, Registry


@contextmanager
def isolated_registry() -> Iterator[Registry]:
    """Isolate a test from what others have put into the process-wide default registry, which is returned.

    Inside, every metric that exists starts from zero, those that modules have made at import time and hold on to
    included. In the end the metrics that were made inside are removed, and the others have their values back.
    As a fixture of pytest:

        @pytest.fixture(autouse=True)
        def registry():
            with isolated_registry() as registry:
                yield registry

    For one thread: what others record meanwhile is on the slate, and is wiped off with it.
    """
    with DEFAULT_REGISTRY.isolated():
        yield DEFAULT_REGISTRY
