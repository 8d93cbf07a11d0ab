"""The reporter `statsd`."""

from __future__ import annotations

from tapes.reporting.push import PushReporter
from tapes.reporting.statsd.sender import StatsdSender


class StatsdReporter(PushReporter):
    """Sends counters to StatsD as changes, and everything else as gauges.

    A counter is sent as its change since it was last delivered, so that the totals of StatsD equal those of the
    registry; without a change nothing is sent. A change that could not be sent goes out with the next report. Changes
    are tracked by registry and destination in the process: a new reporter continues where the last one stopped, and
    several reporters to the same destination send each change once.

    The application never waits for StatsD: the reporter's own thread looks up names and sends packets, in bursts that
    fit into the buffer of a socket. If no StatsD is there the report fails. A host name is looked up when it is first
    needed, then once a minute, and every ten seconds while reports fail.

    A forked child goes on by itself, with its own socket, and sends what it has counted itself.
    """

    sender = StatsdSender
