"""Reports to StatsD, when an event loop says so. Comes with `pip install 'tapes-tornado[statsd]'`."""

from __future__ import annotations

from tapes.reporting.tornado.driver import LoopDriven

try:
    from tapes.reporting.statsd import StatsdReporter
except ModuleNotFoundError as missing:
    if missing.name != "tapes.reporting.statsd":
        raise
    raise ImportError(
        "tapes.reporting.tornado.statsd needs tapes-statsd, which is not installed: pip install 'tapes-tornado[statsd]'"
    ) from missing


class TornadoStatsdReporter(LoopDriven, StatsdReporter):
    """Sends counters to StatsD as changes, and everything else as gauges, as `StatsdReporter` does, timed by a loop.

    A thread looks up the host and sends, so that nobody waits for the network. See `TornadoScheduledReporter` for which
    loop it is, and when.
    """
