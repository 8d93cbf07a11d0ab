"""The frames of a flush: the states that have changed since they were last sent. Without sockets or threads."""

from __future__ import annotations

import hashlib
import math
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, Generator, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from tapes.distributed import frames, records
from tapes.distributed.frames import Frame
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.processes import machine, processes, started
from tapes.distributed.records import Hello, Series, is_internal, states
from tapes.facts import NO_FACTS
from tapes.streak import log_once
from tapes.turns import Turns

if TYPE_CHECKING:
    from tapes.facts import Facts
    from tapes.instruments import Instrument
    from tapes.registry import Registry

    _Change = Tuple[Instrument, List[bytes], Any, Optional[Facts]]

FRAME = 1 << 15
"""The most bytes of records in a frame, unless it has a single record. With the high-water marks of the sockets it
bounds the bytes that wait on both sides."""

SERIES = 200
"""The most series in a frame.

After each frame the new states replace those sent before: fewer series in a frame keep fewer new states alive at once.
More series make fewer frames, and so fewer points at which a busy application takes the GIL.
"""

_UNCERTAIN = 10.0  # seconds of flushes that may have been sent and not arrived, as when a network fails
_MOST = 2_000  # states that are remembered for such flushes, at most
_LONG = 3  # intervals without a flush after which the aggregator may have retired this worker
_KEPT_FLUSHES = 2  # flushes after such a silence that are remembered whole, until the aggregator has said so

NAMED = object()
"""Stands for the numbers sent of a series that has been named, but whose first state is not completely sent."""

Position = Tuple[int, int]
"""A session, and the number of a frame in it."""


class _Past(NamedTuple):
    """The numbers that had been sent before a frame, or before a session."""

    position: Position
    sent: Mapping[Instrument, Any]
    """By metric in the frame: the numbers sent before it; None if there were none in the session."""
    states: int
    """How many superseded states it keeps alive."""
    begins: bool = False
    """Whether a session began here; `sent` is then all that the session before had sent."""
    ends: bool = False
    """Whether the frame was the last of a flush."""


class Publisher:
    """Tracks what one aggregator knows of a registry, and makes the frames with the rest.

    If a frame cannot be sent nothing is lost: the next flush has its content. Not thread-safe.
    """

    def __init__(self, hello: Hello, worker: Optional[bytes] = None) -> None:
        """`hello` describes this process. `worker` is an identity that survives restarts; default: a random one."""
        self.worker = os.urandom(16) if worker is None else worker
        """The worker's identity: 16 bytes, unique to this process, registry and aggregator."""
        self._outlives = worker is not None
        self._hello = hello
        self._merged: Dict[Instrument, Any] = {}  # the numbers published under earlier identities
        self._journal: Deque[_Past] = deque()
        self._states = self._flushes = 0  # in the journal
        # By the time of day, so that sessions of an earlier process with this identity have lower numbers.
        self._session = 0 if worker is None else time.time_ns() // 1_000_000
        self._sequence = 0
        # Each metric keeps its number over all sessions. A metric made again under the same name gets a new one.
        self._numbers: Dict[Instrument, int] = {}
        self._next_number = 0
        # The numbers, or NAMED. Plain tuples, not objects: see `tapes.recording.buffer.Numbers`.
        self._sent: Dict[Instrument, Any] = {}
        self._described: Dict[str, Facts] = {}  # the facts sent in the session, by name
        self._next: Optional[Instrument] = None  # where an unfinished flush stopped
        self._last = math.inf  # when the last flush began
        self._kept_flushes = 0
        self._failing_kinds: Set[str] = set()  # kinds of which metrics cannot be told, as was logged

    @property
    def position(self) -> Position:
        """The session and the number of the next frame."""
        return self._session, self._sequence

    def sent_numbers(self) -> Dict[Instrument, Any]:
        """Return the numbers that have been sent, by metric."""
        return {**self._merged, **_completely_sent(self._sent)}

    def announce(self, interval: float) -> None:
        """Set the interval, in seconds, that the next session announces."""
        self._hello = self._hello._replace(interval=interval)

    def begin(self) -> None:
        """Begin a new session, for an aggregator that knows nothing or has missed something."""
        self._session += 1
        self._journal.append(_Past((self._session, 0), self._sent, 0, begins=True))
        self._sequence = 0
        self._sent = {}
        self._described = {}
        self._next = None

    def begin_as_another(self, position: Position) -> None:
        """Go on under a new identity: the aggregator has retired this one, with the frames before `position`.

        The new worker publishes what came after those. If more frames were sent after `position` than are remembered,
        the content of the oldest of these is not sent again. After a silence, as of a suspended process, everything is
        remembered.
        """
        known: Dict[Instrument, Any] = dict(self._sent)
        for past in reversed(self._journal):
            if past.begins and past.position[0] > position[0]:
                known = dict(past.sent)
            elif past.position < position:
                break
            else:
                known.update(past.sent)
        self._merged.update(_completely_sent(known))
        self._sent = {}
        self._journal.clear()
        self._states = self._flushes = 0
        self.worker = hashlib.sha256(self.worker).digest()[:16] if self._outlives else os.urandom(16)
        self.begin()

    def flush(self, registry: Registry, flags: int = 0) -> Generator[bytes, None, None]:
        """Yield the frames of one flush, with `flags` for the last. Asking for the next frame marks one as sent.

        If one cannot be sent, close the iterator; the rest comes with the next flush.
        """
        now = registry.clock.monotonic()
        if now - self._last > max(_UNCERTAIN, _LONG * self._hello.interval):
            self._kept_flushes = _KEPT_FLUSHES
        self._last = now
        parts: List[bytes] = []
        changes: List[Tuple[Instrument, Any]] = []
        described: Dict[str, Facts] = {}
        size = 0
        if not self._sequence:
            parts.append(records.hello(self._hello))
        for metric, written, sent, facts in self._changes(registry, now):
            for place, record in enumerate(written):
                if size and (size + len(record) > FRAME or len(changes) >= SERIES):
                    yield self._frame(now, 0, parts)
                    if place and metric not in self._sent:
                        changes.append((metric, NAMED))
                    self._note(changes, described, ends=False)
                    self._next = metric
                    parts, changes, described, size = [], [], {}, 0
                if facts is not None:
                    described[metric.name] = facts
                parts.append(record)
                size += len(record)
            changes.append((metric, sent))
        yield self._frame(now, frames.END | flags, parts)
        self._note(changes, described, ends=True)
        self._next = None

    def _changes(self, registry: Registry, now: float) -> Iterator[_Change]:
        """Yield each metric of which something has to be told, with the records and the numbers known after that.

        The numbers are None for a removed metric. The last item is the facts of its name in the first record, or None.

        It starts where an unfinished flush stopped. Otherwise an aggregator that never takes a whole flush would never
        get the rest.
        """
        metrics = [metric for metric in registry if not is_internal(metric.name)]
        there = set(metrics)
        for metric in self._sent.keys() - there:
            self._described.pop(metric.name, None)  # the aggregator forgets it with the last series of the name
            yield metric, [records.removed(self._numbers[metric])], None, None
        for metric in self._merged.keys() - there:
            del self._merged[metric]
        if len(self._numbers) > len(there):
            there_or_sent = there | self._sent.keys()
            self._numbers = {metric: number for metric, number in self._numbers.items() if metric in there_or_sent}
        if self._next in there:
            start = metrics.index(self._next)
            metrics = metrics[start:] + metrics[:start]
        described = self._described
        unsent = {
            name: facts
            for name, facts in registry.all_facts().items()
            if (said := described.get(name, NO_FACTS)) is not facts and said != facts
        }
        turns = Turns()
        for metric in metrics:
            turns.yield_if_due()
            try:
                change = self._change(metric, now, unsent)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the others are told
                log_once(
                    *(self._failing_kinds, metric.kind, LOGGER_NAME),
                    "%r cannot be published: %r. It is left out, as is every other of its kind that fails. All other "
                    "series are published. Fix the code of this kind.",
                    *(metric, error),
                )
            else:
                if change is not None:
                    yield change

    def _change(self, metric: Instrument, now: float, unsent: Dict[str, Facts]) -> Optional[_Change]:
        """Return what has to be told of a metric, if anything has. Takes out of `unsent` what is said of its name."""
        numbers = metric.committed(now)
        sent = self._sent.get(metric)
        kind = metric.kind
        facts = unsent.get(metric.name)
        says = b"" if facts is None else records.facts(metric.name, facts)
        if sent is None:
            number = self._number_of(metric)
            new = records.series(Series(number, kind, metric.merge, metric.name, metric.tags))
            first, *others = states(kind, number, self._state(metric, numbers), None)
            first = new + says + first
        elif sent is NAMED:
            first, *others = states(kind, self._numbers[metric], self._state(metric, numbers), None)
            first = says + first
        elif differ(metric, numbers, sent):
            if metric in self._merged:
                state, known = self._state(metric, numbers), self._state(metric, sent)
            else:
                state, known = metric.states(numbers, sent)
            first, *others = states(kind, self._numbers[metric], state, known)
            first = says + first
        elif facts is not None:
            first, others, numbers = says, [], sent
        else:
            return None
        if facts is not None:
            del unsent[metric.name]
        return metric, [first, *others], numbers, facts

    def _state(self, metric: Instrument, numbers: Any) -> Any:
        """Return the state to send: without what was published under earlier identities."""
        state = metric.state(numbers)
        return metric.kind.minus(state, metric.state(self._merged[metric])) if metric in self._merged else state

    def _number_of(self, metric: Instrument) -> int:
        number = self._numbers.setdefault(metric, self._next_number)
        self._next_number += number == self._next_number
        return number

    def _frame(self, now: float, flags: int, parts: List[bytes]) -> bytes:
        return frames.encode(Frame(self.worker, self._session, self._sequence, now, flags, frames.join(parts)))

    def _note(self, changes: List[Tuple[Instrument, Any]], described: Dict[str, Facts], *, ends: bool) -> None:
        """Note that a frame was sent with these changes, and these facts of names."""
        self._described.update(described)
        before = {metric: self._sent.get(metric) for metric, _ in changes}
        kept = sum(sent is not None for sent in before.values())
        self._journal.append(_Past(self.position, before, kept, ends=ends))
        self._states += kept
        self._flushes += ends
        self._kept_flushes -= ends and self._kept_flushes > 0
        self._sequence += 1
        for metric, sent in changes:
            if sent is None:
                del self._sent[metric]
            else:
                self._sent[metric] = sent
        self._forget()

    def _forget(self) -> None:
        """Drop the journal of frames that have arrived by now, or never will."""
        if self._kept_flushes:
            return
        flushes = max(_UNCERTAIN / self._hello.interval, 2)
        while self._flushes > flushes or self._states > _MOST:
            past = self._journal.popleft()
            self._flushes -= past.ends
            self._states -= past.states


def _completely_sent(sent: Mapping[Instrument, Any]) -> Dict[Instrument, Any]:
    """Return the numbers that were sent completely."""
    return {metric: numbers for metric, numbers in sent.items() if numbers is not None and numbers is not NAMED}


def differ(metric: Instrument, numbers: Any, sent: Any) -> bool:
    """Whether a metric with `numbers` has changed since the numbers `sent` were sent."""
    if numbers is sent:
        return False
    kind = metric.kind
    return not kind.repeats or kind.differs(metric.state(numbers), metric.state(sent), metric.merge)


def has_recorded(metric: Instrument, now: float, sent: Any) -> bool:
    """Whether a metric has counted something that is not in the numbers `sent`, which are None if none were sent.

    Kinds that do not last are ignored: a gauge is a value of this moment. So is the growth of a producer's total since
    it was last read, which every process has.
    """
    if not metric.kind.lasts:
        return False
    numbers = metric.recorded(now)
    return metric.kind.has_recorded(metric.state(numbers)) if sent is None else differ(metric, numbers, sent)


def has_values(registry: Registry) -> bool:
    """Whether a registry has counted anything, or has a gauge with a value."""
    now = registry.clock.monotonic()
    return any(metric.kind.has_recorded(metric.read(now)) for metric in registry)


def hello(interval: float, *, settles: bool) -> Hello:
    """Return the hello of this process."""
    return Hello(
        host=socket.gethostname(),
        machine=machine(),
        processes=processes(),
        pid=os.getpid(),
        started=started(),
        interval=interval,
        settles=settles,
    )
