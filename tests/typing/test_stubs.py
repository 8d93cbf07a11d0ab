"""Stubs of reporters, beside their modules."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.typing.stubs import STUBS, stub


@pytest.mark.parametrize("module", STUBS)
def test_a_stub_says_what_the_module_says(module: str) -> None:
    """Type checkers see the constructor that there is. If not: `python3 noxfile.py -s stubs`."""
    imported = Path(str(importlib.import_module(module).__file__))

    assert imported.with_suffix(".pyi").read_text(encoding="utf-8") == stub(module)
