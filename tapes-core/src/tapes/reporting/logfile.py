"""A file that lines are appended to, while others rotate, delete or truncate it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Optional

from tapes.process.descriptors import Identity, identity, of

# Not to wait for a reader, where the file is a named pipe; and the line of a terminal is no business of a log.
_FLAGS = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class LogFile:
    """Appends to whatever file a path names at the moment. Not thread-safe.

    Several processes may append to the same file: each `write()` is one write of the system at the end of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: Optional[int] = None
        self._identity: Optional[Identity] = None

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError if there is none."""
        if self._descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self.path)
        return self._descriptor

    def follow(self) -> bool:
        """Open the file, unless it is the one that is open; True if it was opened. Raises OSError if it cannot be.

        That is so at first, when it has been moved away or deleted since, and when the program has closed it.
        """
        if self._is_current():
            return False
        opened = os.open(self.path, _FLAGS, 0o666)
        with suppress(OSError):  # where there is no such thing
            os.set_blocking(opened, True)
        self.close()
        self._descriptor, self._identity = opened, identity(opened)
        return True

    def is_cut_off(self) -> Optional[bool]:
        """Whether the last line has no end: whoever wrote it was killed, or the disk was full. None if unknown."""
        if self._identity is None or not stat.S_ISREG(self._identity[2]):
            return None
        try:
            reading = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        except OSError:  # it may be written and not read
            return None
        try:
            size = os.fstat(reading).st_size
            os.lseek(reading, max(0, size - 1), os.SEEK_SET)
            return size > 0 and os.read(reading, 1) != b"\n"
        finally:
            os.close(reading)

    def write(self, data: bytes) -> int:
        """Append `data`, and return how many bytes of it were. Raises OSError."""
        descriptor = self.fileno()
        if identity(descriptor) != self._identity:
            raise OSError(errno.EBADF, "The program has closed the descriptor of this file", self.path)
        return os.write(descriptor, data)

    def close(self) -> None:
        """Close it. A descriptor that has become another's is let go of."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and identity(descriptor) == self._identity:
            os.close(descriptor)

    def _is_current(self) -> bool:
        if self._descriptor is None or identity(self._descriptor) != self._identity:
            return False
        try:
            return of(os.stat(self.path)) == self._identity
        except FileNotFoundError:
            return False
        except OSError:
            return True  # a program that has given up its privileges goes on with what it has opened before

    def __repr__(self) -> str:
        return f"LogFile({self.path!r})"
