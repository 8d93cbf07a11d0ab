"""The reporter `tornado-stream`, which writes lines of JSON to a stream or a file."""

from __future__ import annotations

from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado.driver import LoopDriven


class TornadoStreamReporter(LoopDriven, ThreadedStreamReporter):
    """Writes what `get_stats()` returns as one JSON document a line, like `ThreadedStreamReporter`, timed by a loop.

    A thread writes, so the loop never waits for a stream that takes nothing. See `TornadoScheduledReporter` for which
    loop it is, and when.
    """
