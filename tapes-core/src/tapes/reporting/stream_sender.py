"""The sender of JSON documents, one per line, to a stream or a file."""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator, Optional, Protocol, Sequence, TextIO, Union

from tapes.clock import SYSTEM_CLOCK
from tapes.encoding.json import encode_line
from tapes.errors import ReporterError, ReporterOptionError, quoted
from tapes.reporting import checked
from tapes.reporting.logfile import LogFile
from tapes.reporting.push import Context
from tapes.reporting.writable import file_obstacle

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot

if sys.platform != "win32":
    import fcntl

_NEWLINE = b"\n"
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)  # the most bytes that a pipe writes atomically


class StreamSender:
    """Writes JSON documents, each with one call of `write`."""

    def __init__(self, stream: Optional[TextIO] = None, *, path: Optional[Union[str, os.PathLike[str]]] = None) -> None:
        """Write to `stream`, which is never closed; by default to the `sys.stdout` of the moment of each report.

        Or append to the file at `path`, which is created if necessary; `start()` raises OSError if that fails. A
        relative path is resolved in the current working directory, once, now.

        Raises ReporterOptionError for a `stream` without a `write` method, and for both a stream and a path.
        """
        if stream is not None and path is not None:
            raise ReporterOptionError(f"Give either stream ({quoted(stream)}) or path ({quoted(path)}), not both.")
        if stream is not None and not callable(getattr(stream, "write", None)):
            raise ReporterOptionError(
                f"stream is a text stream to write to, not {quoted(stream)}: use path for a file."
            )
        self.context = Context("", SYSTEM_CLOCK, {}, 0)
        self._stream = stream
        self._file = None if path is None else LogFile(os.path.abspath(checked.path("path", path)))
        self._cut_off = False

    def obstacles(self) -> Sequence[str]:
        """Return what is wrong with the path of the file, if there is one."""
        if self._file is None:
            return ()
        obstacle = file_obstacle(self._file.path)
        return () if obstacle is None else (f"it cannot write to {self._file.path!r}{obstacle}",)

    def open(self) -> None:
        """Open the file, if there is one."""
        if self._file is None:
            return
        self._file = LogFile(self._file.path)
        try:
            self._follow(self._file)
        except OSError as error:
            # A pipe without a reader is a far end that is down, not a mistake of the user.
            if not (error.errno == errno.ENXIO and stat.S_ISFIFO(os.stat(self._file.path).st_mode)):
                raise

    def send(self, snapshot: Snapshot) -> None:
        """Write one document."""
        document = encode_line(snapshot, host=socket.gethostname(), pid=os.getpid())
        if self._file is not None:
            self._follow(self._file)
            self._write_bytes(self._file, document)
            return
        stream = sys.stdout if self._stream is None else self._stream
        if stream is None:
            raise ReporterError(
                f"{self.context.reporter} has no stream to write to: sys.stdout is None. Give it a stream or a path."
            )
        raw = _unbuffered(stream)
        if raw is None:
            self._write_text(stream, document.decode("ascii"))
        else:
            stream.flush()
            self._write_bytes(raw, document)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def __str__(self) -> str:
        return "" if self._file is None else f"path={self._file.path!r}"

    def _follow(self, file: LogFile) -> None:
        if file.follow() or self._cut_off:
            cut_off = file.is_cut_off()
            self._cut_off = self._cut_off if cut_off is None else cut_off

    def _write_bytes(self, file: _Writable, document: bytes) -> None:
        rest = _NEWLINE + document if self._cut_off else document
        length = len(rest)
        try:
            with _without_others(file, length):
                while rest:  # one write, unless the disk is nearly full: then the second write raises
                    written = file.write(rest)
                    if written is None:
                        raise BlockingIOError(f"{file!r} is full: its reader is too slow.")
                    rest = rest[written:]
        finally:
            if len(rest) < length:
                self._cut_off = bool(rest)

    def _write_text(self, stream: TextIO, document: str) -> None:
        text = "\n" + document if self._cut_off else document
        self._cut_off = True  # perhaps: after an error it is unknown how much was written
        stream.write(text)
        stream.flush()
        self._cut_off = False


class _Writable(Protocol):
    """An unbuffered binary file."""

    def write(self, data: bytes, /) -> Optional[int]:
        """Write as much as possible, and return the number of bytes; None if nothing can be written now."""
        ...

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError if there is none."""
        ...


@contextmanager
def _without_others(file: _Writable, length: int) -> Iterator[None]:
    """Lock out other reporting processes if the system may split one write.

    It may split a write to a full pipe, of more than 4,096 bytes on Linux. A process that waits for the lock would also
    have to wait for the reader of the pipe. Where pipes cannot be locked, as on macOS, this does nothing.
    """
    descriptor = _pipe(file) if length > _PIPE_BUF else None
    if sys.platform == "win32" or descriptor is None:
        yield
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _pipe(file: _Writable) -> Optional[int]:
    """Return the descriptor of `file` if it is a pipe, or a socket like that of systemd's journal; else None."""
    try:
        descriptor = file.fileno()
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _unbuffered(stream: TextIO) -> Optional[io.RawIOBase]:
    """Return the raw file under the buffers of `stream`, if it is an ordinary text file; else None.

    A document that waits in a buffer would be written twice if the process forked at that moment. And a thread that
    hangs while it flushes a buffer holds the buffer's lock, which makes the interpreter abort when it exits.
    """
    if type(stream) is not io.TextIOWrapper or type(stream.buffer) is not io.BufferedWriter:
        return None
    if "{\n".encode(stream.encoding) != b"{\n":
        return None
    raw = stream.buffer.raw
    return raw if type(raw) is io.FileIO else None
