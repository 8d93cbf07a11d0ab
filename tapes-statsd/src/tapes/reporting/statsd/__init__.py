"""The reporter for StatsD."""

from __future__ import annotations

from tapes.reporting.statsd.reporter import StatsdReporter

__all__ = ["StatsdReporter"]
