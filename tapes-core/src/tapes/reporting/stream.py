"""The reporter named `stream`."""

from __future__ import annotations

from tapes.reporting.push import PushReporter
from tapes.reporting.stream_sender import StreamSender


class ThreadedStreamReporter(PushReporter):
    """Writes the content of `get_stats()` as one JSON document per line, each with one call of `write`, and flushes it.

    Besides the metrics, each line has the key `tapes.report`, with the `time` in UTC, the `host` and the `pid`. Several
    processes may write to the same file or pipe: their lines never mix.

    A file that was moved, deleted, or closed by the program is opened again. A closed stream, a full disk, a missing
    folder or a pipe without a reader makes a failed report; the next report is tried at its time. After a document that
    was cut off, the next one starts on a new line.

    A forked child continues by itself, to the same stream, or to the same file, which it opens again.
    """

    sender = StreamSender
