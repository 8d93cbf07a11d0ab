"""`import tapes` brings in what recording needs, and nothing more."""

from __future__ import annotations

import sys

import pytest

from tests.packaging.building import run

SHOW_IMPORTED = """
import sys
before = set(sys.modules)
import tapes
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    "unwanted",
    [
        "asyncio",
        "bisect",
        "concurrent",
        "datetime",
        "http",
        "importlib.metadata",
        "inspect",
        "logging",
        "numbers",
        "pluggy",
        "socket",
        "tapes._plugins",
        "tapes.archives",
        "tapes.config",
        "tapes.decorating",
        "tapes.isolation",
        "tapes.meta",
        "tapes.plugins",
        "tapes.recording.core",
        "tapes.reporting",
        "tapes.snapshot",
        "tapes.state.quantiles",
        "tapes.testing",
        "tapes.turns",
        "tomli",
        "tomllib",
    ],
)
def test_import_tapes_does_not_import(unwanted: str) -> None:
    """What only some programs need is imported when they first need it."""
    imported = run(sys.executable, "-c", SHOW_IMPORTED).split()

    assert "tapes.registry" in imported
    assert [name for name in imported if name == unwanted or name.startswith(f"{unwanted}.")] == []
