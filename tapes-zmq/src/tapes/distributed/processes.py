"""Who is who among processes and machines, and whether they are still there."""

from __future__ import annotations

import os
import socket
import time
import uuid
from contextlib import suppress


def machine() -> str:
    """Return what identifies the running system, until it is booted again."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip().decode("ascii")
    return f"{socket.gethostname()} {uuid.getnode():x} {round((time.time() - time.perf_counter()) / 60)}"


def processes() -> str:
    """Return what identifies the set of process ids that this process sees: containers have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "" if os.path.exists("/proc/self") else "all"


def started(pid: int) -> int:
    """Return when the process was started, in clock ticks of the system since it was booted; 0 if that is not known.

    See proc(5), the 22nd field of `/proc/PID/stat`.
    """
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])
    return 0


def is_alive(pid: int, since: int) -> bool:
    """Whether the process that has this pid, and was started then, has not ended. A zombie has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # there is one, of another user
    if not since:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and int(fields[19]) == since
