"""Whether files can be written, as far as that is known without opening them."""

from __future__ import annotations

import os
from typing import Optional


def file_obstacle(path: str) -> Optional[str]:
    """Return why this process cannot write to the file at an absolute path, with the remedy; None if it can.

    The file may be missing, its folder must be there. It reads as the end of a sentence about the path.
    """
    if os.path.isdir(path):
        return ", which is a folder: name a file in it"
    if os.path.exists(path) and not _may(path, os.W_OK):
        return f": {path!r} is not writable for the user {user()}, so give that user the file, or name another"
    if os.path.exists(path):
        return None
    obstacle = folder_obstacle(os.path.dirname(path))
    return None if obstacle is None else f": {obstacle}"


def folder_obstacle(folder: str) -> Optional[str]:
    """Return why this process cannot make a file in a folder, with the remedy; None if it can."""
    if not os.path.isdir(folder):
        return f"there is no folder {folder!r}, so make it"
    if not _may(folder, os.W_OK | os.X_OK):
        return f"the folder {folder!r} is not writable for the user {user()}, so let that user write, or name another"
    return None


def _may(path: str, mode: int) -> bool:
    """Whether the process has these permissions, by the user whose rights it has now."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def user() -> str:
    """Return the user whose rights this process has: the name, or else the number."""
    try:
        import pwd  # only on POSIX

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return f"number {os.geteuid()}" if hasattr(os, "geteuid") else "of this process"
