"""What is measured of several processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Recording(NamedTuple):
    """What one operation costs, in nanoseconds."""

    operation: str
    prometheus: float
    local: float
    connected: float


class Reading(NamedTuple):
    """What it takes to read many workers, in seconds and bytes."""

    prometheus: float
    changed: float
    """The first read by tapes after every worker has published other values."""
    unchanged: float
    prometheus_memory: float
    tapes_memory: float


class Worker(NamedTuple):
    """What one real worker takes that records to all of its timers: seconds of processor time a second, and bytes."""

    recording: float
    publishing: float
    memory: float
    """What it has in use since it publishes, and had not before."""


class Load(NamedTuple):
    """What one aggregator takes for many busy workers."""

    flushes: int
    different: int
    """How many of the workers have values of their own."""
    processor: float
    """Seconds of processor time for what comes in a second, all threads together."""
    lags: Sequence[float]
    """Of each flush: from the moment at which the first worker sent it to the end of a read that shows all of it."""
    read: float
    """How long such a read is, the median."""
    anew: float
    """The lag when all workers tell everything, as they do after a restart."""
    received: float
    """Bytes a second."""
    memory: float
    """At the end."""
    most: float
    """At any time, all workers having told everything at once included."""
    worker: Worker


class Ended(NamedTuple):
    """What is left of workers that have ended: seconds to read, bytes and number of files, bytes of the reader."""

    workers: int
    prometheus_read: float
    prometheus_disk: float
    prometheus_files: int
    prometheus_memory: float
    read: float
    disk: float
    files: int
    memory: float


class Flush(NamedTuple):
    """What one flush of a worker is on the wire."""

    changed: int
    """Timers that have recorded since the flush before."""
    events: int
    """How often each of them has."""
    size: int


class Pauses(NamedTuple):
    """How long an application stood still that recorded without a pause, in seconds."""

    timers: int
    seconds: float
    """For how long it was watched."""
    alone: float
    """The longest time when nothing was published or reported."""
    longest: float
    """The longest time when all timers were published, sent to a StatsD and fetched as a page, each once a second."""
    often: int
    """How often it was more than 20 ms."""
    looks: int
    """How often the interpreter looked for garbage among all objects meanwhile."""


class Distributed(NamedTuple):
    """All of it."""

    recording: Sequence[Recording]
    reading: Reading
    load: Load
    ended: Sequence[Ended]
    flushes: Sequence[Flush]
    pauses: Pauses
