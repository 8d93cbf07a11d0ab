"""What the applications of these tests measure, and where it goes, as the tests tell them by the environment.

PLACE       the address of the aggregator
INTERVAL    seconds between what a worker publishes
AGGREGATOR  for applications that start the aggregator before they fork: the port of its page, and then the file for
            its first and its last report
"""

from __future__ import annotations

import os
from typing import Optional

from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tests.distributed.patience import be_patient

HOUR = 3600.0

be_patient()
registry = DistributedRegistry(os.environ["PLACE"], interval=float(os.environ["INTERVAL"]))
served = registry.counter("app.served")
latency = registry.timer("app.latency")


def start_aggregator() -> Optional[RegistryAggregator]:
    """Fork the aggregator, if it is for this application to start."""
    port, _, path = os.environ.get("AGGREGATOR", "").partition(" ")
    if not port:
        return None
    reporters = [HTTPReporter(int(port)), ThreadedStreamReporter(HOUR, path=path)]
    aggregator = RegistryAggregator(reporters, os.environ["PLACE"])
    aggregator.start()
    return aggregator
