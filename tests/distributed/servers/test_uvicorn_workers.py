"""uvicorn, whose workers are spawned: what the aggregator counts is what was answered."""

from __future__ import annotations

import sys

import pytest

from tests.distributed.servers.serving import AT_THE_END, WHILE_SERVING, check_counts, needs, serving

APPLICATION = "tests.distributed.servers.asgi_app:application"


@pytest.mark.parametrize("interval", [WHILE_SERVING, AT_THE_END], ids=["while-serving", "at-the-end"])
def test_uvicorn_is_counted(interval: float) -> None:
    """The total is exact while it serves, and when it has shut down, with workers that publish only then."""
    needs("uvicorn")
    command = [sys.executable, "-m", "uvicorn", "--workers", "2", "--no-access-log", APPLICATION]

    check_counts(serving(lambda port: [*command, "--host", "127.0.0.1", "--port", str(port)], interval))
