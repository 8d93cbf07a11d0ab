"""The reporter `otlp`."""

from __future__ import annotations

from tapes.reporting.otlp.sender import OtlpSender
from tapes.reporting.push import PushReporter


class OtlpReporter(PushReporter):
    """Sends all metrics to an OpenTelemetry collector, or to whatever takes OTLP over HTTP.

    Counters, meters, histograms and timers are sent as totals since the start (cumulative temporality), so a report
    that is lost costs nothing: the next one has it all. Histograms are exponential. Each process is an instance of its
    own: a forked child goes on by itself, under a new one.
    """

    sender = OtlpSender
