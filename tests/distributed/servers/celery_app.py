"""An application of Celery. Its broker is at the URL BROKER, and the file DONE has a line for each task that was done.

The processes of its pool do at their end nothing of what Python does at an exit, and nothing here closes the registry:
tapes hears from Celery that they end.
"""

from __future__ import annotations

import os
import time

from celery import Celery

from tests.distributed.servers.measured import latency, registry, served

app = Celery(__name__, broker=os.environ["BROKER"])
app.conf.worker_prefetch_multiplier = 0  # as many as there are


def work() -> None:
    """Count one more, and say by whom it was done."""
    with latency.time():
        served.increment()
        time.sleep(0.002)  # in which the other process gets its share
    with open(os.environ["DONE"], "ab", buffering=0) as done:
        done.write(f"{os.getpid()}\n".encode())


app.task(work, name="work")
registry.connect()
