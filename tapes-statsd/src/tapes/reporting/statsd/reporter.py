"""The reporter named `statsd`."""

from __future__ import annotations

from tapes.reporting.push import PushReporter
from tapes.reporting.statsd.sender import StatsdSender


class StatsdReporter(PushReporter):
    """Sends counters to StatsD as changes, and everything else as gauges.

    A counter goes out as what it has changed by since its destination was last told of it, so that the totals of StatsD
    are those of the registry; for no change nothing is sent. What could not be sent is sent with the next report. It is
    kept for each registry and destination in the process: a new reporter goes on where the one before has stopped, and
    several to the same destination send each change once.

    Nobody waits for StatsD: names are looked up and packets sent by the reporter's own thread, in bursts that fit into
    the buffer of a socket. If nobody is there, that is a failed report. A host name is looked up when it is first
    needed, then once a minute, and every ten seconds while reports fail.

    A forked child goes on by itself, with a socket of its own, and sends what it has counted itself.
    """

    sender = StatsdSender
