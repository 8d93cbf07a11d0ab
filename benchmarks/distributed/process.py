"""What the processes take of the machine, as Linux tells it."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return how many bytes of memory a process has in use."""
    return _status(pid, "VmRSS")


def most_resident(pid: int) -> int:
    """Return how many bytes of memory a process has had in use at most, since its program began."""
    # Not ru_maxrss, which a new program inherits from the process that has started it.
    return _status(pid, "VmHWM")


def processor_time(pid: int) -> float:
    """Return how many seconds of processor time a process has taken, all its threads together, to 10 ms."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def open_files(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/{pid}/status does not say {key}.")
