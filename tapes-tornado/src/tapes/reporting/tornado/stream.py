"""Reports as lines of JSON, to a stream or a file, when an event loop says so."""

# ruff: noqa: TC001, TC002, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import os
from datetime import timedelta
from typing import Optional, TextIO, Union

from tornado.ioloop import IOLoop

from tapes.registry import Registry
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado.apart import ApartReporter, named_after


class TornadoStreamReporter(ApartReporter):
    """Writes what `get_stats()` shows as one JSON document a line, as `ThreadedStreamReporter` does, timed by a loop.

    A thread writes, so that nobody waits for a stream that takes nothing. See `TornadoScheduledReporter` for which loop
    it is, and when.
    """

    def __init__(
        self,
        interval: Union[timedelta, float],
        stream: Optional[TextIO] = None,
        registry: Optional[Registry] = None,
        io_loop: Optional[IOLoop] = None,
        *,
        path: Optional[Union[str, os.PathLike[str]]] = None,
    ) -> None:
        """Write what `registry` (by default the process-wide one) holds every `interval`, a timedelta or seconds.

        Either to `stream`, which is never closed; by default to what `sys.stdout` is at the moment of each report. Or
        to the file at `path`, which is created if need be and appended to; `start()` raises OSError if it cannot be.
        `io_loop` keeps the time; by default the one that runs where the reporter is started, or the next one that does.

        Raises ReporterOptionError for a wrong interval, for something that cannot be written to, for both a stream and
        a path, and for what is no IOLoop.
        """
        super().__init__(named_after(self, ThreadedStreamReporter)(interval, stream, registry, path=path), io_loop)
