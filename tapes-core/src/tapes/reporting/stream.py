"""Reports as lines of JSON, to a stream or a file."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import io
import os
import sys
from datetime import timedelta
from typing import Optional, TextIO, Union

from tapes.clock import Clock
from tapes.encoding.json import JsonFormat
from tapes.errors import ReporterError, ReporterOptionError
from tapes.registry import Registry
from tapes.reporting.scheduled import ScheduledReporter

_NEWLINE = b"\n"


class ThreadedStreamReporter(ScheduledReporter):
    """Writes what `get_stats()` shows as one JSON document a line, each with one call of `write`, and flushes it.

    A stream that is closed, a full disk or a reader that has gone is a failed report; the next is tried at its time. A
    document that was cut off ends its line there: the next one stands on a line of its own.

    A forked child goes on by itself, to the same stream, or to the same file, which it opens again.
    """

    def __init__(
        self,
        interval: Union[timedelta, float],
        stream: Optional[TextIO] = None,
        registry: Optional[Registry] = None,
        *,
        path: Optional[Union[str, os.PathLike[str]]] = None,
        clock: Optional[Clock] = None,
    ) -> None:
        """Write what `registry` (by default the process-wide one) holds every `interval`, a timedelta or seconds.

        Either to `stream`, which is never closed; by default to what `sys.stdout` is at the moment of each report. Or
        to the file at `path`, which is created if need be and appended to; `start()` raises OSError if it cannot be.

        Raises ReporterOptionError for a wrong interval, for something that cannot be written to, and for both a stream
        and a path.
        """
        super().__init__(interval, registry, clock=clock)
        if stream is not None and path is not None:
            raise ReporterOptionError(f"Give either stream ({stream!r}) or path ({path!r}), not both.")
        if stream is not None and not hasattr(stream, "write"):
            raise ReporterOptionError(
                f"stream is a text stream to write to, not {stream!r}: use path for a file's name."
            )
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise ReporterOptionError(f"path is a str or a path object, not {path!r} ({type(path).__name__}).")
        self._stream = stream
        self._path = path
        self._file: Optional[io.FileIO] = None
        self._format = JsonFormat()
        self._cut_off = False

    def open(self) -> None:
        """Open the file, if there is one."""
        self.close()  # what a run that hung has left open
        if self._path is not None:
            self._file = io.FileIO(os.fspath(self._path), "a")

    def report(self) -> None:
        """Write one document."""
        file = self._file  # this very one, even if another is opened while this report hangs
        document = self._format.encode(self.registry.snapshot()) + _NEWLINE
        if file is not None:
            self._write_bytes(file, document)
            return
        stream = sys.stdout if self._stream is None else self._stream
        if stream is None:
            raise ReporterError(f"{self!r} has nowhere to write to: sys.stdout is None, so give it a stream or a path.")
        raw = _unbuffered(stream)
        if raw is None:
            self._write_text(stream, document.decode("ascii"))
        else:
            stream.flush()
            self._write_bytes(raw, document)

    def close(self) -> None:
        """Close the file, if there is one."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __repr__(self) -> str:
        where = "" if self._path is None else f", path={os.fspath(self._path)!r}"
        return f"{type(self).__name__}(interval={self.interval:g}{where})"

    def _write_bytes(self, file: io.RawIOBase, document: bytes) -> None:
        rest = _NEWLINE + document if self._cut_off else document
        length = len(rest)
        try:
            while rest:  # once, unless the disk is nearly full: then the second time says so
                written = file.write(rest)
                if written is None:
                    raise BlockingIOError(f"{file!r} takes no more at the moment: whoever reads it is too slow.")
                rest = rest[written:]
        finally:
            if len(rest) < length:
                self._cut_off = bool(rest)

    def _write_text(self, stream: TextIO, document: str) -> None:
        text = "\n" + document if self._cut_off else document
        self._cut_off = True  # perhaps; how much of it was written before an error is not to be known
        stream.write(text)
        stream.flush()
        self._cut_off = False


def _unbuffered(stream: TextIO) -> Optional[io.RawIOBase]:
    """Return what lies under the buffers of `stream`, if it is an ordinary text file.

    A document that waits in a buffer is written twice if the process is forked in that moment. And a thread that hangs
    while it flushes a buffer holds its lock, for which the interpreter does not wait when it exits: it aborts.
    """
    if type(stream) is not io.TextIOWrapper or type(stream.buffer) is not io.BufferedWriter:
        return None
    if "{\n".encode(stream.encoding) != b"{\n":
        return None
    raw = stream.buffer.raw
    return raw if type(raw) is io.FileIO else None
