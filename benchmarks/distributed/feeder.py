"""Many busy workers in one process: what they would send is made beforehand, and sent when it is due.

What makes it is the publishing code of a real worker, from what it records to real metrics, and it is sent over the
sockets of 0MQ that a real worker has. But while these workers send they neither record nor encode, so they leave the
processors to who is measured. What was made for one may be sent by several, each with an identity of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import zmq

from benchmarks.distributed.child import answer
from benchmarks.distributed.setclock import SetClock
from benchmarks.distributed.workload import LATENCIES, latencies, names
from tapes.distributed import upstream
from tapes.distributed.frames import decode, encode
from tapes.distributed.publishing import Publisher, hello
from tapes.registry import Registry
from tapes.state.histogram import SLOT, WINDOW

SENT = "sent"
"""A counter of the flushes. It is the last thing that is in a flush."""

_PATIENCE = 30_000  # milliseconds
_BEFORE = 100  # events of a timer in each of the minutes that are over


def _flushes(worker: int, timers: int, events: int, number: int, first: float) -> list[list[bytes]]:
    """Return the frames of some flushes of a worker, the first of which tells everything.

    It has recorded in every minute before that can still be seen, and to each timer `events` times a second since the
    slot began that `first` lies in.
    """
    begun = first % SLOT
    clock = SetClock(first - begun - WINDOW + SLOT / 2)
    registry = Registry(clock=clock)
    measured = [registry.timer(name) for name in names("timer", timers)]
    sent = registry.counter(SENT)
    observed = [*latencies(worker), *latencies(worker)]
    position = 0

    def record(often: int) -> None:
        nonlocal position
        for timer in measured:
            update = timer.update
            for value in observed[position : position + often]:
                update(value)
            position = (position + often + 1) % LATENCIES  # each timer goes through them in its own way
        registry.snapshot()

    while clock.now < first - begun:
        record(_BEFORE)
        clock.now += SLOT
    clock.now = first - begun / 2
    record(int(events * begun))
    publisher = Publisher(hello(1.0, settles=True))
    publisher.begin()
    flushes = []
    for flush in range(number):
        clock.now = first + flush
        record(events)
        sent.increment()
        flushes.append(list(publisher.flush(registry)))
    return flushes


def _as_another(frame: bytes, worker: bytes) -> bytes:
    return encode(decode(frame)._replace(worker=worker))


class _Worker:
    """Who sends what was prepared, with a socket as real workers have it."""

    def __init__(self, flushes: list[list[bytes]], context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        identity = os.urandom(16)
        self._flushes = [[_as_another(frame, identity) for frame in frames] for frames in flushes]
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.setsockopt(zmq.SNDTIMEO, _PATIENCE)
        self._socket.connect(address)
        if not self._socket.poll(_PATIENCE) or self._socket.recv() != b"\1" + upstream.EVERYTHING:
            raise RuntimeError(f"There is no aggregator at {address}.")

    def send(self, flush: int) -> None:
        """Send a flush. Raises zmq.Again if the aggregator does not take it, RuntimeError if it has missed any."""
        if self._socket.poll(0):
            raise RuntimeError(f"The aggregator says {self._socket.recv()!r}.")
        for frame in self._flushes[flush]:
            self._socket.send(frame)


_prepared: list[list[list[bytes]]] = []
_workers: list[_Worker] = []
_context = zmq.Context()


def prepare(numbers: Sequence[int], timers: int, events: int, flushes: int, first: float) -> list[int]:
    """Make what some workers send, beginning at the time `first`, and return how many bytes each flush is."""
    _prepared.extend(_flushes(number, timers, events, flushes, first) for number in numbers)
    return [sum(len(frame) for made in _prepared for frame in made[flush]) for flush in range(flushes)]


def connect(address: str, each: int) -> None:
    """Let workers connect, so many with the values of each that was prepared."""
    for made in _prepared:
        _workers.extend(_Worker(made, _context, address) for _ in range(each))


def send(flush: int, due: float) -> float:
    """Send a flush of all workers at the time `due`, and return when the first of it was sent."""
    time.sleep(max(due - time.monotonic(), 0))
    began = time.monotonic()
    for worker in _workers:
        worker.send(flush)
    return began


if __name__ == "__main__":
    answer({"prepare": prepare, "connect": connect, "send": send})
