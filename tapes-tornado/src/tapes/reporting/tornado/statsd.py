"""The reporter `tornado-statsd`. Comes with `pip install 'tapes-tornado[statsd]'`."""

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
    """Sends counters to StatsD as changes and everything else as gauges, like `StatsdReporter`, timed by a loop.

    A thread looks up the host and sends, so the loop never waits for the network. See `TornadoScheduledReporter` for
    which loop it is, and when.
    """
