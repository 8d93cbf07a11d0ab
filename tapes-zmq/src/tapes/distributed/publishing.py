"""What a worker sends at each flush: the states that have changed since they were sent last. No socket, no thread."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any, Dict, Generator, Iterator, List, NamedTuple, Optional, Tuple

from tapes.distributed import frames, records
from tapes.distributed.frames import Frame
from tapes.distributed.processes import machine, processes, started
from tapes.distributed.records import CODECS, Hello, Series

if TYPE_CHECKING:
    from tapes.instruments import Instrument
    from tapes.registry import Registry

FRAME = 1 << 17
"""Bytes from which on a frame is full. With the high-water mark of the socket it bounds what waits to be sent."""

RESERVED = "tapes.aggregator."
"""What the names begin with that an aggregator gives to metrics about itself. They are not published any further."""


class _Sent(NamedTuple):
    number: int
    state: Any


class Publisher:
    """The book of what one receiver knows of a registry, and the frames that tell it the rest.

    Nothing is lost if a frame cannot be sent: what was in it is in the next flush. Not thread-safe.
    """

    def __init__(self, hello: Hello, worker: Optional[bytes] = None) -> None:
        """Tell what `hello` says of this process. `worker` identifies what is told, if that outlives the process."""
        self.worker = os.urandom(16) if worker is None else worker
        """What identifies this process, this registry and this receiver, as nothing else ever will be."""
        self._hello = hello
        # Sessions of a process that went on with the same before have begun, and so have lower numbers.
        self._session = 0 if worker is None else time.time_ns() // 1_000_000
        self._sequence = 0
        self._numbers = 0
        self._sent: Dict[Instrument, _Sent] = {}

    @property
    def position(self) -> Tuple[int, int]:
        """The session and the sequence number of the next frame."""
        return self._session, self._sequence

    def told(self) -> Dict[Instrument, Any]:
        """Return the states that have been sent, by their metrics."""
        return {metric: sent.state for metric, sent in self._sent.items()}

    def begin(self) -> None:
        """Begin to tell everything, to a receiver that knows nothing or cannot be sure what it knows."""
        self._session += 1
        self._sequence = 0
        self._numbers = 0
        self._sent = {}

    def flush(self, registry: Registry, flags: int = 0) -> Generator[bytes, None, None]:
        """Yield the frames of one flush, with `flags` for the last. Each counts as sent when the next one is asked for.

        If one cannot be sent the iterator is to be closed; what is left comes with the next flush.
        """
        now = registry.clock.monotonic()
        parts: List[bytes] = []
        changes: List[Tuple[Instrument, _Sent | None]] = []
        size = 0
        if not self._sequence:
            parts.append(records.hello(self._hello))
        for metric, record, sent in self._changes(registry, now):
            parts.append(record)
            changes.append((metric, sent))
            size += len(record)
            if size >= FRAME:
                yield self._frame(now, 0, parts)
                self._note(changes)
                parts, changes, size = [], [], 0
        yield self._frame(now, frames.END | flags, parts)
        self._note(changes)

    def _changes(self, registry: Registry, now: float) -> Iterator[Tuple[Instrument, bytes, _Sent | None]]:
        """Yield each metric of which something has to be told, with the record and what is known after that."""
        metrics = [metric for metric in registry if not metric.name.startswith(RESERVED)]
        for metric in self._sent.keys() - set(metrics):
            yield metric, records.removed(self._sent[metric].number), None
        for metric in metrics:
            state = metric.committed(now)
            sent = self._sent.get(metric)
            codec = CODECS[metric.kind]
            if sent is None:
                number = self._numbers
                self._numbers += 1
                merge = getattr(metric, "merge", "sum")
                new = records.series(Series(number, metric.kind, merge, metric.name, metric.tags))
                yield metric, new + codec.state(number, state, None), _Sent(number, state)
            elif codec.differ(metric, state, sent.state):
                yield metric, codec.state(sent.number, state, sent.state), _Sent(sent.number, state)

    def _frame(self, now: float, flags: int, parts: List[bytes]) -> bytes:
        return frames.encode(Frame(self.worker, self._session, self._sequence, now, flags, frames.join(parts)))

    def _note(self, changes: List[Tuple[Instrument, _Sent | None]]) -> None:
        """Take note that a frame with these changes has been sent."""
        self._sequence += 1
        for metric, sent in changes:
            if sent is None:
                del self._sent[metric]
            else:
                self._sent[metric] = sent


def has_recorded(metric: Instrument, state: Any, told: Any) -> bool:
    """Whether a metric has counted something in `state` that is not in the state that was told, if one was.

    Gauges do not count: what they say is of this moment.
    """
    if metric.kind == "gauge":
        return False
    if told is not None:
        return CODECS[metric.kind].differ(metric, state, told)
    statistics = metric.reading(0.0).statistics
    return any(statistics.get(key) for key in ("value", "count"))


def has_anything_to_say(registry: Registry) -> bool:
    """Whether anything has been counted in a registry, or a gauge of it has a value."""
    now = registry.clock.monotonic()
    states = [(metric, metric.committed(now)) for metric in registry]
    return any(state.parts if metric.kind == "gauge" else has_recorded(metric, state, None) for metric, state in states)


def hello(interval: float, *, settles: bool) -> Hello:
    """Return what this process says of itself."""
    return Hello(
        host=socket.gethostname(),
        machine=machine(),
        processes=processes(),
        pid=os.getpid(),
        started=started(),
        interval=interval,
        settles=settles,
    )
