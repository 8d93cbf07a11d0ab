"""Reports as lines of JSON, to a stream or a file, when an event loop says so."""

from __future__ import annotations

from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado.driver import LoopDriven


class TornadoStreamReporter(LoopDriven, ThreadedStreamReporter):
    """Writes what `get_stats()` shows as one JSON document a line, as `ThreadedStreamReporter` does, timed by a loop.

    A thread writes, so that nobody waits for a stream that takes nothing. See `TornadoScheduledReporter` for which loop
    it is, and when.
    """
