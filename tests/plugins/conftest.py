"""What the tests of plugins share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugins.distributions import Distributions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def distributions(tmp_path: Path) -> Distributions:
    """Return an empty folder to install plugins into."""
    return Distributions(tmp_path)
