"""Identifies machines and processes, and tells whether a process is alive."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from contextlib import suppress
from typing import FrozenSet, List, Optional


def machine() -> str:
    """Return the identity of the running system until its next boot, and of its monotonic clock.

    Containers may have their own clock: a time namespace, see time_namespaces(7).
    """
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return f"{file.read().strip().decode('ascii')} {_link('/proc/self/ns/time')}"
    return f"{socket.gethostname()} {uuid.getnode():x} {round((time.time() - time.perf_counter()) / 60)}"


def processes() -> str:
    """Return the identity of the pid namespace: containers have their own.

    Empty if unknown.
    """
    return _link("/proc/self/ns/pid") if sys.platform.startswith("linux") else "all"


def started() -> int:
    """Return when this process was started, in clock ticks of the system since its boot; 0 if unknown.

    See proc(5), the 22nd field of `/proc/PID/stat`.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(_fields("self")[19])
    return 0


def is_alive(pid: int, since: int) -> Optional[bool]:
    """Whether the process with this pid and start time is alive; None if unknown.

    A zombie is not alive. Unknown is a process that this user may not see (`hidepid`), any process if no descriptor is
    left to read `/proc`, and any if `/proc` is that of another pid namespace.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # the process exists, of another user
    if not since or _link("/proc/self") != str(os.getpid()):
        return None
    try:
        fields = _fields(str(pid))
        return fields[0] not in (b"Z", b"X") and int(fields[19]) == since
    except (OSError, ValueError, IndexError):
        return None


def is_child(pid: int, since: int) -> bool:
    """Whether a process, by its pid and start time, is a child of this one, possibly a zombie. False if unknown."""
    with suppress(OSError, ValueError, IndexError):
        fields = _fields(str(pid))
        return int(fields[1]) == os.getpid() and int(fields[19]) == since
    return False


def is_busy(pid: int) -> bool:
    """Whether any thread of a process runs, waits for a processor, or waits for a disk.

    False if unknown.
    """
    with suppress(OSError, IndexError):
        return any(_fields(f"{pid}/task/{thread}")[0] in (b"R", b"D") for thread in os.listdir(f"/proc/{pid}/task"))
    return False


def state_of(pid: int) -> str:
    """Return the state of a process as the letter that is in proc(5); empty if unknown."""
    with suppress(OSError, IndexError):
        return _fields(str(pid))[0].decode("ascii", "replace")
    return ""


def ancestors() -> FrozenSet[int]:
    """Return the pids of the parent of this process, its parent and so on, without the first process of the system."""
    found = [os.getppid()]
    if _link("/proc/self") == str(os.getpid()):
        with suppress(OSError, ValueError, IndexError):
            while (parent := int(_fields(str(found[-1]))[1])) > 1:
                found.append(parent)
    return frozenset(found)


def _fields(process: str) -> List[bytes]:
    """Return the fields of `/proc/PID/stat`, from the third on."""
    with open(f"/proc/{process}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
