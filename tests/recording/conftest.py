"""What the tests of the recording core share."""

from __future__ import annotations

import pytest

from tapes.recording.core import Core
from tests.recording import cores


@pytest.fixture(scope="session", params=cores.installed(), ids=lambda core: core.name)
def core(request: pytest.FixtureRequest) -> Core:
    """Return each core that is installed, one after the other."""
    found: Core = request.param
    return found
