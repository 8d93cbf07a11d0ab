"""Settings of gunicorn that no option of its command line has. Versions that do not know a setting ignore it."""

from __future__ import annotations

import faulthandler
import os
from typing import Any

if os.environ.get("PATCH") == "early":
    from gevent import monkey

    monkey.patch_all()

STUCK = 40
"""Seconds after which a worker says what its threads are doing: in no test that passes does one live for so long."""

control_socket_disable = True  # it would be in the home of whoever runs the tests


def post_fork(_arbiter: object, _worker: object) -> None:
    """Connect in the worker, where the application has left it to this hook. Say where it is if it gets stuck."""
    faulthandler.dump_traceback_later(STUCK)
    if os.environ.get("CONNECT") == "later":
        from tests.distributed.servers.measured import registry

        registry.connect()


def post_worker_init(worker: Any) -> None:
    """Say that the worker heeds signals: until it has imported the application, it overhears them."""
    worker.log.info("This worker serves.")
