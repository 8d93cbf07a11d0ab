"""Reporters driven by the event loop of Tornado.

Derive your own from `TornadoScheduledReporter`. The reporters have modules of their own:
`tapes.reporting.tornado.stream`, `tapes.reporting.tornado.statsd` and `tapes.reporting.tornado.http`.
"""

from __future__ import annotations

from tapes.reporting.tornado.scheduled import TornadoScheduledReporter

__all__ = ["TornadoScheduledReporter"]
