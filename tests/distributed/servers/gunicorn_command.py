"""The command of gunicorn, and what it says."""

from __future__ import annotations

import re
import sys

from tests.distributed.servers.serving import PROCESSES, Command, needs

SETTINGS = "python:tests.distributed.servers.gunicorn_settings"
APPLICATION = "tests.distributed.servers.wsgi_app:application"
RECYCLED_AFTER = 25  # requests
RECYCLED = 2 * PROCESSES  # of those that have answered in the end, the first two are gone at least

OF_UVICORN = "uvicorn.workers.UvicornWorker"


def gunicorn(worker: str, preload: bool, *options: str, application: str = APPLICATION) -> Command:
    """Return the command."""
    needs("gunicorn")
    for module in ("gevent", "uvicorn"):
        if worker.startswith(module):
            needs(module)
    command = [sys.executable, "-m", "gunicorn", "--config", SETTINGS, "--workers", "2", "--worker-class", worker]
    command += ["--threads", "2"] if worker == "gthread" else []
    command += ["--preload"] if preload else []
    return lambda port: [*command, "--bind", f"127.0.0.1:{port}", *options, application]


def settled(said: str) -> bool:
    """Whether every worker that leaves is replaced by one that serves. A new one overhears signals until it does."""
    booted, serve = said.count("Booting worker with pid"), said.count("This worker serves.")
    # Each thread of a worker says so.
    leaving = set(re.findall(r"\[(\d+)\] \[\w+\] (?:Autorestarting worker|Maximum request limit)", said))
    return booted == serve == PROCESSES + len(leaving)
