"""A log file to append lines to, which other programs may rotate, delete or truncate."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Optional

from tapes.process.descriptors import Identity, identity, of

# O_NONBLOCK: do not wait for the reader of a named pipe. O_NOCTTY: a terminal must not become the controlling one.
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
    """Appends to the file that a path currently names. Not thread-safe.

    Several processes may append to the same file: each `write()` is one system call, at the end of the file.
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
        """Open the file at the path, unless it is already open. Return whether it was opened. Raises OSError.

        It opens the file at first, after the file was moved or deleted, and after the program closed the descriptor.
        """
        if self._is_current():
            return False
        opened = os.open(self.path, _FLAGS, 0o666)
        with suppress(OSError):  # not every kind of file can be set to block
            os.set_blocking(opened, True)
        self.close()
        self._descriptor, self._identity = opened, identity(opened)
        return True

    def is_cut_off(self) -> Optional[bool]:
        """Return whether the last line has no end: its writer was killed, or the disk was full. None if unknown."""
        if self._identity is None or not stat.S_ISREG(self._identity[2]):
            return None
        try:
            reading = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        except OSError:  # permission to write but not to read
            return None
        try:
            size = os.fstat(reading).st_size
            os.lseek(reading, max(0, size - 1), os.SEEK_SET)
            return size > 0 and os.read(reading, 1) != b"\n"
        finally:
            os.close(reading)

    def write(self, data: bytes) -> int:
        """Append `data`, and return the number of bytes written. Raises OSError."""
        descriptor = self.fileno()
        if identity(descriptor) != self._identity:
            raise OSError(errno.EBADF, "The program has closed the descriptor of this file", self.path)
        return os.write(descriptor, data)

    def close(self) -> None:
        """Close the descriptor, unless the program has closed or reused it."""
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
            return True  # after dropping privileges, a program continues with the file that it opened before

    def __repr__(self) -> str:
        return f"LogFile({self.path!r})"
