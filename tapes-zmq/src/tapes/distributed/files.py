"""Opens the files of an aggregator safely: locks, state and journals.

They may lie in a folder where others can write, like /tmp. So no symbolic link is followed, no fifo can block it, and
no file of another user is used, but in a folder of a group: there all files belong to the group.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from typing import Optional

PRIVATE = 0o600
"""The mode of a new file."""

SHARED = 0o660
"""The same in the folder of a group."""

_FOLDER_OF_GROUP = re.compile(r"tapes-g([0-9]{1,10})")

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
    """The file is of the wrong kind, or another user's. `strerror` says what it is."""


def opened(path: str, flags: int) -> int:
    """Open a regular file of this user, and return the descriptor. With O_CREAT in `flags` a new file is private.

    Raises UnfitFileError if the file is of the wrong kind or another user's, and any other OSError.
    """
    group = sharing(path)
    try:
        file = os.open(path, flags | _GUARDED, PRIVATE)
    except OSError as error:
        # Systems report a link or a socket by different errors: say what the file is, where that can be seen.
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            _check(os.lstat(path), path, flags, group)
        raise error from None
    try:
        status = os.fstat(file)
        _check(status, path, flags, group)
        if group is not None and flags & os.O_CREAT and not is_foreign(status) and status.st_mode & 0o777 != SHARED:
            os.fchown(file, -1, group)
            os.fchmod(file, SHARED)  # whatever the umask is
    except BaseException:
        os.close(file)
        raise
    return file


def created(path: str) -> int:
    """Create a private file, replacing any file of that name, and return the descriptor. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with suppress(FileNotFoundError):
        os.unlink(path)
    return opened(path, flags)


def folder_of_group(group: int) -> str:
    """Return the name of the folder in which the processes of a group meet."""
    return f"tapes-g{group}"


def sharing(path: str) -> Optional[int]:
    """Return the number of the group that shares a file, by the folder that it is in; None for a file of one user.

    Nobody else can enter such a folder, so what is in it was made by the group.
    """
    folder = os.path.dirname(path)
    named = _FOLDER_OF_GROUP.fullmatch(os.path.basename(folder))
    if named is None:
        return None
    group = int(named[1])
    try:
        status = os.lstat(folder)
    except OSError:
        return None
    return group if stat.S_ISDIR(status.st_mode) and status.st_gid == group and not status.st_mode & 0o007 else None


def is_others(path: str, status: os.stat_result) -> bool:
    """Whether a file belongs to another user, and to no group that shares it."""
    return is_foreign(status) and (sharing(path) is None or status.st_gid != sharing(path))


def kind(status: os.stat_result) -> str:
    """Return a description of a file that is not regular, like 'a fifo'."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no file")


def owner(status: os.stat_result) -> str:
    """Return the owner of a file: the user's name, or else its number."""
    with suppress(ImportError, KeyError):
        from pwd import getpwuid  # only on POSIX

        return getpwuid(status.st_uid).pw_name
    return f"number {status.st_uid}"


def is_foreign(status: os.stat_result) -> bool:
    """Whether a file belongs to another user."""
    return os.name == "posix" and status.st_uid != os.geteuid()


def _check(status: os.stat_result, path: str, flags: int, group: Optional[int]) -> None:
    """Raise UnfitFileError unless it is a regular file of this user or `group`, with one name if it is written to."""
    if not stat.S_ISREG(status.st_mode):
        raise UnfitFileError(errno.EINVAL, f"it is {kind(status)}", path)
    if is_foreign(status) and (group is None or status.st_gid != group):
        raise UnfitFileError(errno.EPERM, f"it belongs to the user {owner(status)}", path)
    if flags & (os.O_WRONLY | os.O_RDWR) and status.st_nlink > 1:
        raise UnfitFileError(errno.EMLINK, "it has another name (a hard link), under which it would change too", path)
