"""Opening the files of an aggregator: its lock and its state.

They may lie in a folder in which others can write, like /tmp. So no symbolic link is followed, no fifo is waited for,
and no file of another user is used.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

PRIVATE = 0o600
"""The mode of a new file."""

# Windows has none of these.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_GUARDED = _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)

_KINDS = {
    stat.S_IFLNK: "a symbolic link, which is not followed",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnfitFileError(OSError):
    """A file is not what it has to be. `strerror` says what it is instead."""


def opened(path: str, flags: int) -> int:
    """Open a regular file of this user, made as a private one if `flags` have O_CREAT, and return the descriptor.

    Raises OSError, and UnfitFileError among it if the file is of the wrong kind, or another user's.
    """
    try:
        file = os.open(path, flags | _GUARDED, PRIVATE)
    except OSError as error:
        # What this system calls a link or a socket varies, and so does whether it may be opened at all.
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            _check(os.lstat(path), path, flags)
        raise error from None
    try:
        _check(os.fstat(file), path, flags)
    except BaseException:
        os.close(file)
        raise
    return file


def created(path: str) -> int:
    """Make a private file, in place of whatever had that name, and return the descriptor. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with suppress(FileNotFoundError):
        os.unlink(path)
    return opened(path, flags)


def kind(status: os.stat_result) -> str:
    """Say what something is that is no regular file, as 'a fifo'."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no file")


def owner(status: os.stat_result) -> str:
    """Say whose a file is, by name if there is one."""
    with suppress(ImportError, KeyError):
        from pwd import getpwuid  # only on POSIX

        return getpwuid(status.st_uid).pw_name
    return f"number {status.st_uid}"


def is_foreign(status: os.stat_result) -> bool:
    """Whether a file belongs to another user."""
    return os.name == "posix" and status.st_uid != os.geteuid()


def _check(status: os.stat_result, path: str, flags: int) -> None:
    """Raise UnfitFileError for what is no regular file of this user."""
    if not stat.S_ISREG(status.st_mode):
        raise UnfitFileError(errno.EINVAL, f"it is {kind(status)}", path)
    if is_foreign(status):
        raise UnfitFileError(errno.EPERM, f"it belongs to the user {owner(status)}", path)
    if flags & (os.O_WRONLY | os.O_RDWR) and status.st_nlink > 1:
        raise UnfitFileError(errno.EMLINK, "it has another name, by which it would change too", path)
