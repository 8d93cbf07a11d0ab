"""Redis, in which Celery has its tasks."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Iterator

from tests.servers.installed import redis_command
from tests.servers.processes import ServerProcess, until


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing on disk, and listens at a socket in the folder only. Gives its URL, for Celery."""
    address = folder / "redis"
    options = ["--port", "0", "--unixsocket", str(address), "--save", "", "--dir", str(folder)]
    server = ServerProcess([*redis_command(), *options], folder / "redis.log")
    try:
        until(lambda: _accepts(address) or not server.running, "Redis accepts")
        assert server.running, f"Redis does not start:\n{server.said()}"
        yield f"redis+socket://{address}"
    finally:
        server.stop()


def _accepts(address: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(address))
        return True
    return False
