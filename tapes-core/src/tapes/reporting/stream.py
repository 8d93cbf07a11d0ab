"""The reporter named `stream`."""

from __future__ import annotations

from tapes.reporting.push import PushReporter
from tapes.reporting.stream_sender import StreamSender


class ThreadedStreamReporter(PushReporter):
    """Writes what `get_stats()` shows as one JSON document a line, each with one call of `write`, and flushes it.

    Beside the metrics each line has the key `tapes.report`, with the `time` in UTC, the `host` and the `pid`. Several
    processes may write to the same file or pipe: their lines do not get into one another.

    A file is opened again where it was moved away, deleted, or closed by the program. A stream that is closed, a full
    disk, a folder that has vanished or a reader that has gone is a failed report; the next is tried at its time. A
    document that was cut off ends its line there: the next one stands on a line of its own.

    A forked child goes on by itself, to the same stream, or to the same file, which it opens again.
    """

    sender = StreamSender
