"""The registry and the aggregator of many processes as type checkers see them. Nothing in here is run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Iterable, Optional, Tuple

from typing_extensions import assert_type

from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.distributed.reporter import ZmqReporter
from tapes.distributed.unified import UnifiedRegistry
from tapes.instruments import Counter, Instrument, Timer
from tapes.process import forking
from tapes.registry import Registry
from tapes.reporting import Reporter, ScheduledReporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import ManualClock

registry = DistributedRegistry("ipc://metrics.ipc", interval=0.5, clock=ManualClock(), max_tag_sets=10)
plain: Registry = registry
assert_type(registry.counter("a", {"k": "v"}), Counter)
assert_type(registry.timer("a"), Timer)
registry.connect()
registry.close()
registry.close(timeout=1.0)
DistributedRegistry("tcp://10.0.0.1:5550", keys=Path("keys"))
DistributedRegistry("tcp://10.0.0.1:5550", keys="keys", insecure=True)
DistributedRegistry("ipc://metrics.ipc", trust="metrics")
DistributedRegistry("ipc://metrics.ipc", trust=[1000, "metrics"])
DistributedRegistry("ipc://metrics.ipc", trust=1.5)  # type: ignore[arg-type]  # no user
DistributedRegistry(5550)  # type: ignore[arg-type]  # no address
DistributedRegistry("ipc://metrics.ipc", 0.5)  # type: ignore[call-arg]  # by its name only
DistributedRegistry(interval="1")  # type: ignore[arg-type]  # no number
DistributedRegistry(state_path="a")  # type: ignore[call-arg]  # of an aggregator

http, stream = HTTPReporter(8889), ThreadedStreamReporter(10)
aggregator = RegistryAggregator(http)
RegistryAggregator([http, stream], "ipc://metrics.ipc", state_path=Path("a"), by_worker=True, lease=30)
RegistryAggregator((http, stream), "tcp://*:5550", keys="keys", state_path="a")
RegistryAggregator(http, "ipc://metrics.ipc", group="www-data", mode=0o660)
RegistryAggregator(http, "ipc://metrics.ipc", group=33, mode="0660")  # type: ignore[arg-type]  # a number
RegistryAggregator("http")  # type: ignore[arg-type]  # no reporter
RegistryAggregator([http, "stream"])  # type: ignore[list-item]  # likewise
RegistryAggregator(http, lease=timedelta(seconds=1))  # type: ignore[arg-type]  # no number
RegistryAggregator(http, "ipc://metrics.ipc", "a")  # type: ignore[call-arg]  # by its name only
assert_type(aggregator.registry, UnifiedRegistry)
assert_type(aggregator.pid, Optional[int])
assert_type(aggregator.reporters, Tuple[Reporter, ...])
aggregator.start()
aggregator.start(fork=False)
aggregator.stop(timeout=1.0)
with aggregator as entered:
    assert_type(entered, RegistryAggregator)
with DistributedRegistry() as nothing:  # type: ignore[attr-defined]  # it is no context manager
    pass

upward: ScheduledReporter = ZmqReporter(timedelta(seconds=1), "tcp://site:5550", aggregator.registry, keys=Path("keys"))
ZmqReporter(1, clock=ManualClock(), insecure=True)
ZmqReporter(socket_addr="ipc://metrics.ipc")
ZmqReporter("1")  # type: ignore[arg-type]  # no number


def adopted(metrics: Iterable[Instrument], timer: Timer) -> None:
    """Use what a registry has for those that fill it themselves."""
    assert_type(plain.adopt(timer), Timer)
    plain.discard(metrics)
    plain.discard([timer])
    plain.adopt("a")  # type: ignore[type-var]  # no metric
    state: Any = timer.committed(0.0)
    assert state is not None


def reported(reporter: Reporter) -> None:
    """Report on another registry, in a child."""
    reporter.report_on(aggregator.registry)
    reporter.report_on(None)  # type: ignore[arg-type]  # no registry
    assert_type(forking.fork_without_metrics(), int)
