"""What a descriptor stands for, and whether it still does.

A program that becomes a daemon closes all descriptors that it finds, those of reporters included, and the files that it
opens next get the same numbers. So a reporter compares what a number stands for with what it stood for, before it
writes to it, reads from it or closes it. That costs a microsecond.
"""

from __future__ import annotations

import os
import stat
from typing import Optional, Tuple

Identity = Tuple[int, int, int]
"""Device, number and type of a file. Each socket and each pipe has a number of its own."""


def identity(descriptor: int) -> Optional[Identity]:
    """Return what `descriptor` stands for; None if it is not open."""
    try:
        return of(os.fstat(descriptor))
    except OSError:
        return None


def of(found: os.stat_result) -> Identity:
    """Return the identity of the file that was looked at."""
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode)
