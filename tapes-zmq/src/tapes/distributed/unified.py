"""The unified registry: what the frames of all workers make together. No socket, no thread."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Set, Tuple, Type

from tapes.clock import SYSTEM_CLOCK, Clock
from tapes.distributed import frames, records
from tapes.distributed.frames import Frame, FrameError
from tapes.distributed.merging import Merged, class_of
from tapes.distributed.processes import is_alive, machine, processes
from tapes.distributed.records import NAMED_STATE, OVERFLOW_NAME, STATE, Hello, Series
from tapes.distributed.workers import UNSURE, Overflowed, Position, Worker, alike
from tapes.errors import MetricError
from tapes.kinds.kind import BY_CODE, kind_named
from tapes.name_tree import OVERFLOW
from tapes.registry import Registry
from tapes.snapshot.snapshot import Reading
from tapes.state.histogram import NEVER, slot_start
from tapes.streak import Streak
from tapes.wire import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tapes.distributed.workers import Target
    from tapes.instruments import Instrument
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags

LOGGER_NAME = "tapes.distributed"
"""The logger of everything here."""

MAX_SERIES = 100_000
"""How many series there may be, unless told otherwise."""

MAX_TAG_SETS = 2000
"""How many of them may have the same name, unless told otherwise."""

LEASE = 10.0
"""Seconds after which the gauges of a worker that is not heard of any more do not count, unless told otherwise."""

_FLUSHES = 3  # that a worker may miss before it is taken to be silent, however seldom it publishes
_LAST_WORDS = 2.0  # seconds in which what a process has sent before it died may still be on its way
_REPEAT = 2.0  # seconds after which a worker that does not begin anew is asked again
_SILENT = 60.0  # seconds beyond its lease after which one is taken to be gone of which nobody knows whether it lives
_SILENT_FAR = 3600.0  # likewise, on another machine: a network may have failed, and swallowed what it has sent
_SILENT_MIDWAY = 3600.0  # likewise, if it was telling everything anew: no position says what is known of it then
_SILENT_HOST = 86400.0  # seconds after which another aggregator is
_CALM = 60.0  # seconds without a bad frame after which the next one is news
_LATE = 5.0  # seconds beyond its lease by which what is shown of a worker may be old, and for so many seconds
_REMEMBERED = 100_000  # workers that are gone, of which a frame may still come
_UNKNOWN_KINDS = 16  # kinds that are not known here and that the log names


class UnifiedRegistry(Registry):
    """A registry of what the frames of many workers say together.

    It is read like any other, from any thread. `apply` and `tidy` are for one thread. `lease`, in seconds, is how long
    the gauges of a worker count that is not heard of, three of its intervals at least. With
    `by_worker` each worker has series of its own besides, with a tag `worker`, for as long as it lives.

    About itself it has the counters `tapes.aggregator.messages`, `.bad_frames`, `.gaps`, `.left_out` (series for which
    there was no place) and `.overflowed` (those that share an overflow series), and the gauges `.series`, `.workers`,
    `.lag` (seconds that the states of the slowest worker were old when they had been merged) and `.staleness` (seconds
    since all that a worker had recorded was last known, of the one where that is longest ago).
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        lease: float = LEASE,
        by_worker: bool = False,
        max_series: int = MAX_SERIES,
        max_tag_sets: int = MAX_TAG_SETS,
        system: Optional[str] = None,
    ) -> None:
        """Go by `clock`, which is that of a running `system`, by default this one."""
        super().__init__(clock=clock, max_tag_sets=sys.maxsize)
        self.max_series = max_series
        self.most_tag_sets = max_tag_sets
        """How many tag sets the series of a name may have that workers share."""
        self.lease = lease
        self.by_worker = by_worker
        self.workers: Dict[bytes, Worker] = {}
        """Those that are known, by their identity."""
        self.ask: Callable[[Worker], None] = lambda worker: None
        """Is called with a worker that has to begin anew, because something of it is missing."""
        self.confirm: Callable[[Worker], None] = lambda worker: None
        """Is called with a worker that leaves, all of which is known."""
        self.dismiss: Callable[[bytes, Position], None] = lambda identity, position: None
        """Is called with who was merged for good and goes on all the same, and with what was known of it until then."""
        self.identity = os.urandom(16)
        """What identifies it to another aggregator that it publishes to. One in its place goes on with it."""
        self._own: Dict[Merged, Tuple[Worker, Merged]] = {}  # series of single workers: whose, and beside which
        self.gone = 0
        """How many workers have been merged for good."""
        self._forgotten: OrderedDict[bytes, Position] = OrderedDict()
        self._ended: Set[bytes] = set()  # those of them that never speak again, as far as is known
        self._dismissed: Dict[bytes, float] = {}  # and when
        self._machine, self._processes = system or machine(), processes()
        self._bad = Streak(LOGGER_NAME, "The aggregator")
        self._unreadable = Streak(LOGGER_NAME, "The aggregator")
        self._late = Streak(LOGGER_NAME, "The aggregator")
        self._late_since = math.inf
        self._bad_at = 0.0
        self._omissions = Streak(LOGGER_NAME, "The aggregator")
        self._unknown_kinds: Set[str] = set()
        self._shared: Dict[str, Dict[Tags, Merged]] = {}  # by name and tags, without those that others overflow to
        self._shared_count = 0
        self._messages = self.counter("tapes.aggregator.messages")
        self._bad_frames = self.counter("tapes.aggregator.bad_frames")
        self._gaps = self.counter("tapes.aggregator.gaps")
        self._left_out = self.counter("tapes.aggregator.left_out")
        self._overflows = self.counter("tapes.aggregator.overflowed")
        self.gauge("tapes.aggregator.series", lambda: self._shared_count)
        self.gauge("tapes.aggregator.workers", self._present)
        self.gauge("tapes.aggregator.lag", self._lag, merge="max")
        self.gauge("tapes.aggregator.staleness", self._staleness, merge="max")

    def apply(self, message: bytes) -> bool:
        """Take in a message, and return whether it was a frame of a worker that is not gone, and contradicts nothing.

        What is no such frame is counted and dropped, with a log line for the first in a row.
        """
        self._messages.increment()
        try:
            return self._take(frames.decode(message))
        except FrameError as error:
            self._count_bad(f"has dropped what is no frame of a worker. {error}")
            return False

    def tidy(self, now: Optional[float] = None) -> None:
        """Let go of workers that are gone. To be called now and then, whether messages are waiting or not.

        `now` is when it was seen how long this process had not run, which is excused: what passes between that look and
        this one is not silence of the workers.
        """
        now = self.clock.monotonic() if now is None else now
        if now - self._bad_at > _CALM:
            self._bad.succeeded()
        self._dismissed = {identity: at for identity, at in self._dismissed.items() if now - at < _REPEAT}
        for worker in list(self.workers.values()):
            self._look_after(worker, now - worker.heard)
        self._see_whether_it_keeps_up(now)

    def series(self, name: str) -> List[Instrument]:
        """Return the metrics of one name, without those of single workers."""
        return [metric for metric in super().series(name) if metric not in self._own]

    def readings(self, metrics: Iterable[Instrument], now: float) -> Iterator[Reading]:
        """Return the readings of some of its metrics, but for those that cannot be read."""
        readings = (self._reading(metric, now) for metric in metrics)
        return (reading for reading in readings if reading is not None)

    def forget(self, workers: Iterable[Tuple[bytes, Position]]) -> None:
        """Take note of workers that are gone: what may still come of them from before a position is known already."""
        for identity, position in workers:
            self._forgotten[identity] = position
        while len(self._forgotten) > _REMEMBERED:
            identity, _ = self._forgotten.popitem(last=False)
            self._ended.discard(identity)

    def to_remember(self, most: int) -> List[Tuple[bytes, Position]]:
        """Return workers that are gone, and what is known of each: all that may speak again, as their end is not known.

        And, of the others, those among the last `most`: a frame of theirs may come late.
        """
        late = len(self._forgotten) - most
        return [
            each for place, each in enumerate(self._forgotten.items()) if place >= late or each[0] not in self._ended
        ]

    def excuse(self, seconds: float) -> None:
        """Do not take it for silence of the workers that this process has not run, nor heard anybody, for a while."""
        now = self.clock.monotonic()
        for worker in self.workers.values():
            worker.heard = min(worker.heard + seconds, now)
        self._late_since = math.inf

    def retire(self, worker: Worker) -> None:
        """Merge for good what a worker has told, which is gone. Its gauges go, what it has counted stays."""
        without = [target for target in worker.everything() if self._has_merged(target, worker)]
        self._let_go([target for target in without if target in self._own or not target.lasts])
        worker.series, worker.unclaimed, worker.earlier = {}, [], {}  # parts of overflow series refer to it
        worker.forget_earlier_parts()
        self.workers.pop(worker.identity, None)
        self.gone += 1
        self.forget([(worker.identity, worker.known)])
        if worker.ended or self._is_alive(worker.hello) is False:
            self._ended.add(worker.identity)

    def _has_merged(self, target: Target, worker: Worker) -> bool:
        """Merge for good what a worker has told of one series, and return whether no other has told anything of it.

        If that fails the series goes on showing what it showed, and all others are merged.
        """
        try:
            return target.retire(worker)
        except Exception as error:  # noqa: BLE001 -- it is logged
            self._count_bad(f"cannot merge {target!r} of {worker.name}: {error!r}. It merges its other series.")
            return False

    def _look_after(self, worker: Worker, silent: float) -> None:
        """See to a worker that has been silent for so many seconds. If that fails it is lost, and no other."""
        try:
            self._see_whether_gone(worker, silent)
        except Exception as error:  # noqa: BLE001 -- it is logged
            worker.present = False
            self.workers.pop(worker.identity, None)
            self.forget([(worker.identity, worker.known)])
            self._count_bad(f"has to let go of {worker.name}: {error!r}. What it counts since is not seen.")

    def _see_whether_gone(self, worker: Worker, silent: float) -> None:
        """Let go of a worker that is gone, and ask one to begin anew of which something is missing."""
        worker.present = silent <= self._lease(worker) and not worker.left
        if worker.hello is _UNKNOWN:
            if not worker.present:
                del self.workers[worker.identity]  # nothing is known of it, so nothing of it is lost
            else:
                self._ask(worker)
        elif self._is_gone(worker, silent):
            self.retire(worker)
        elif not worker.in_step and not worker.left:
            self._ask(worker)

    def _reading(self, metric: Instrument, now: float) -> Optional[Reading]:
        """Return the reading of a metric; None if it cannot be read, which takes no other one along."""
        try:
            return Reading.of(metric, now, self.facts(metric.name))
        except Exception as error:  # noqa: BLE001 -- it is logged
            self._unreadable.failed(f"cannot read {metric!r}: {error!r}. It is left out, the others are shown.")
            return None

    def _take(self, frame: Frame) -> bool:
        """Take in a frame, and return whether its worker is not gone. Of one that is, nothing is taken in any more."""
        worker = self.workers.get(frame.worker)
        if worker is None:
            position = self._forgotten.get(frame.worker)
            if position is not None:
                if (frame.session, frame.sequence) >= position:
                    self._dismiss(frame.worker, position)
                return False
            if frame.sequence:
                worker = Worker(frame.worker, _UNKNOWN, self.clock.monotonic())
                worker.session = frame.session
                self.workers[frame.worker] = worker
            else:
                hello = self._hello_of(frame)
                worker = self.workers[frame.worker] = Worker(frame.worker, hello, self.clock.monotonic())
        try:
            self._heed(worker, frame)
        except FrameError:
            worker.in_step = False
            raise
        except Exception as error:  # nothing that a worker says ends the aggregator
            worker.in_step = False
            raise FrameError(f"It contradicts what {worker.name} has said before: {error!r}.") from error
        return True

    def _heed(self, worker: Worker, frame: Frame) -> None:
        """Take in what a worker says."""
        worker.heard = self.clock.monotonic()
        worker.present = not worker.left  # a frame of one that has left is an old one, unless it begins a session
        if frame.session < worker.session:
            return
        if frame.sequence == 0 and (frame.session > worker.session or worker.hello is _UNKNOWN):
            self._begin(worker, frame)
        elif frame.session > worker.session or frame.sequence > worker.sequence or not worker.in_step:
            if worker.in_step or frame.session > worker.session:
                self._gaps.increment()
            worker.session = max(worker.session, frame.session - 1)
            worker.in_step = False
            self._ask(worker)
            return
        elif frame.sequence < worker.sequence:
            return
        worker.sequence += 1
        self._set_clock(worker, frame)
        worker.told = frame.time
        self._take_records(worker, frame)
        worker.known = (worker.session, worker.sequence)
        if frame.flags & frames.END:
            self._end(worker, frame)

    def _hello_of(self, frame: Frame) -> Hello:
        """Return what a worker says of itself in the first frame of a session."""
        for kind, start, end in frame.records():
            if kind == records.HELLO:
                return records.read_hello(Reader(frame.body, start, end))
            break
        raise FrameError("The first frame of a session does not say whose it is.")

    def _begin(self, worker: Worker, frame: Frame) -> None:
        """Begin a session, in which the worker tells everything from the start."""
        worker.hello = hello = self._hello_of(frame)
        worker.settles = hello.settles
        worker.session, worker.sequence = frame.session, 0
        worker.in_step = True
        worker.left = worker.ended = False
        worker.present = True
        worker.unclaimed = list(dict.fromkeys(worker.everything()))
        worker.earlier.update({targets[0]: number for number, targets in worker.series.items() if targets})
        worker.series = {}
        self._bound_unclaimed(worker)
        if not worker.settles:
            worker.number_parts_anew()
        worker.is_full = False

    def _bound_unclaimed(self, worker: Worker) -> None:
        """Let go of the oldest series of a worker that begins again and again, and never tells to the end."""
        most = self.max_series * (1 + self.by_worker)
        worker.unclaimed, oldest = worker.unclaimed[:most], worker.unclaimed[most:]
        self._remove(worker, oldest)
        for target in oldest:
            worker.earlier.pop(target, None)

    def _take_records(self, worker: Worker, frame: Frame) -> None:
        body = frame.body
        series = worker.series
        now = worker.heard - (worker.shift or 0.0)  # by its clock
        reader = Reader(body, now=now, single=worker.settles)
        for what, start, end in frame.records():
            kind = BY_CODE.get(what - STATE)
            reader.go(start, end)
            if kind is not None or what == NAMED_STATE:
                targets = series.get(records.read_number(reader), () if worker.is_full else None)
                if targets is None:
                    raise FrameError("A state is of no series that the worker has named.")
                if kind is None:
                    if not targets:  # it is left out, and nobody here may know how to read it
                        worker.has_recorded = True
                        continue
                    kind = _named(targets[0])
                elif targets and targets[0].kind != kind:
                    raise FrameError(f"A state of a {kind} is not one of {targets[0]!r}.")
                update = kind.read(reader)
                reader.finish()
                worker.has_recorded = worker.has_recorded or kind.has_recorded(update)
                for target in targets:
                    target.take(worker, update)
            elif what == records.SERIES:
                new = records.read_series(reader)
                if new.number in series:
                    raise FrameError(f"Two series have the number {new.number}.")
                if len(series) < self.max_series:
                    series[new.number] = self._targets(worker, new)
                else:
                    worker.is_full = True
                    self._leave_out(worker, new, f"it has more than {self.max_series:,} series.")
            elif what == records.REMOVED:
                self._remove(worker, series.pop(records.read_removed(reader), ()))
            elif what == records.FACTS:
                self.describe(*records.read_facts(reader))
            elif what != records.HELLO:
                raise FrameError(f"There are no records of type {what}.")

    def _end(self, worker: Worker, frame: Frame) -> None:
        """Take note that everything is known that the worker had recorded by the time of the frame."""
        worker.earlier = {}
        worker.forget_earlier_parts()
        if worker.unclaimed:
            claimed = {merged for series in worker.series.values() for merged in series}
            unclaimed, worker.unclaimed = worker.unclaimed, []
            self._remove(worker, [merged for merged in unclaimed if merged not in claimed])
        before, worker.settled = worker.settled, frame.time
        if worker.settles and (before == NEVER or slot_start(before) != slot_start(frame.time)):
            for merged in worker.everything():
                merged.settle(worker)
        now = self.clock.monotonic()
        worker.lag = max(now - frame.time - (worker.shift or 0.0), 0.0)
        worker.complete = now - worker.lag
        if frame.flags & frames.LEAVING:
            worker.left = True
            worker.ended = bool(frame.flags & frames.ENDING)
            worker.present = False
            self.confirm(worker)

    def _targets(self, worker: Worker, new: Series) -> Tuple[Target, ...]:
        """Return what the states of a series that a worker names go into; nothing if there is no place for it."""
        if kind_named(new.kind) is None:
            self._left_out.increment()
            self.leave_out_kind(new.kind)
            return ()
        try:
            overflowed = self._overflowed_series(worker, new)
            if overflowed is not None:
                return (overflowed,)
            merged = self.merged(new, new.tags)
            own = self._own_series(worker, new, merged) if self.by_worker else None
            number = worker.earlier.pop(merged, new.number)
            if number != new.number and worker.settles:  # it was removed and made again: that is another series
                self._remove(worker, [merged] if own is None else [merged, own])
                return self._targets(worker, new)
            return (merged,) if own is None else (merged, own)
        except MetricError as error:
            self._leave_out(worker, new, f"it clashes with what other workers have. {error}")
            return ()

    def leave_out_kind(self, kind: str) -> None:
        """Log, once, that no series of a kind is counted, as nothing here knows what its states mean."""
        if kind not in self._unknown_kinds and len(self._unknown_kinds) < _UNKNOWN_KINDS:
            self._unknown_kinds.add(kind)
            logging.getLogger(LOGGER_NAME).warning(
                "The aggregator leaves out all series of the kind %r, which it does not know, and counts everything "
                "else: install the distribution that has the kind where the aggregator runs, and import it there.",
                kind,
            )

    def _leave_out(self, worker: Worker, new: Series, reason: str) -> None:
        """Count a series that is left out, and log the first."""
        self._left_out.increment()
        self._omissions.failed(
            f"leaves out {new.name!r} of {worker.name}, and counts what else it does, because {reason}"
        )

    def _overflowed_series(self, worker: Worker, new: Series) -> Optional[Overflowed]:
        """Return the part of an overflow series that a series is for which there is no room; None if there is room.

        Raises MetricError.
        """
        known = worker.part_of_overflow(new)
        if known is not None:
            return known
        named = self._shared.get(new.name, {})
        if new.tags in named:
            return None
        tag_sets = len(named) - (() in named) - (OVERFLOW in named)
        if self._shared_count >= self.max_series:
            limit = f"{self.max_series:,} series, which is max_series"
        elif tag_sets >= self.most_tag_sets and new.tags not in ((), OVERFLOW):
            limit = f"{tag_sets:,} different tag sets of {new.name!r}, which is max_tag_sets"
        else:
            return None
        of = new
        if not named:
            new = new._replace(name=f"{OVERFLOW_NAME}.{new.kind}", merge="sum")
        self._overflows.increment()
        if self._overflows.read(0.0).value == 1:
            logging.getLogger(LOGGER_NAME).warning(
                "The aggregator has %s: the totals of further ones go to series tagged overflow=true.", limit
            )
        return worker.overflow(new.number, self.overflow_series(new), of)

    def shared(self) -> List[Merged]:
        """Return the series that workers share, and not those that each has of its own."""
        return [merged for merged in self if isinstance(merged, Merged) and merged not in self._own]

    def expect(self, identity: bytes, hello: Hello) -> Worker:
        """Take note of a worker that is known from before a restart, and return it."""
        worker = Worker(identity, hello, self.clock.monotonic(), 0.0 if hello.machine == self._machine else None)
        worker.present = False
        self.workers[identity] = worker
        return worker

    def merged(self, new: Series, tags: Tags) -> Merged:
        """Return the series of these tags that the states of a worker's series go into. Raises MetricError."""
        merged = self.adopt(_class_of(new)(new.name, tags, new.merge))
        named = self._shared.setdefault(new.name, {})
        if tags not in named:
            named[tags] = merged
            self._shared_count += 1
        return merged

    def overflow_series(self, new: Series) -> Merged:
        """Return the series that others of this name overflow to. It needs no room. Raises MetricError."""
        return self.adopt(_class_of(new)(new.name, OVERFLOW, new.merge))

    def _own_series(self, worker: Worker, new: Series, shared: Merged) -> Optional[Merged]:
        """Return the series beside a shared one that shows a worker alone.

        None where a program has made a series of these tags itself, or if there is no room.
        """
        known = worker.own.get(shared)
        if known in self._own:
            return known
        if len(self._own) >= self.max_series:
            return None
        made = _class_of(new)(new.name, self._tags_of(worker, new.tags), new.merge)
        own = self.adopt(made)
        if own is not made:
            if own not in self._own:
                return None
            before, _ = self._own[own]
            if before is not worker and self._has_made_room(before, worker):
                self.retire(before)
                own = self.adopt(made)
        self._own[own] = worker, shared
        worker.own[shared] = own
        return own

    def _has_made_room(self, before: Worker, worker: Worker) -> bool:
        """Whether a worker has left or ended, so that another one with its name is another process."""
        one, other = before.hello, worker.hello
        is_reused = bool(one.processes) and one.place == other.place and one.started != other.started
        return before.left or is_reused or self._is_alive(one) is False

    def _tags_of(self, worker: Worker, tags: Tags) -> Tags:
        worker.label = worker.label or self._label(worker)
        return tuple(sorted({"worker": worker.label, **dict(tags)}.items()))

    def _label(self, worker: Worker) -> str:
        """Return what tells a worker from others. In containers of one host there may be several of the same name."""
        hello = worker.hello
        label = str(hello.pid) if self._is_near(hello) else worker.name
        for other in list(self.workers.values()):
            if other.label == label and (other.hello.place != hello.place or not hello.processes):
                return f"{label}:{worker.identity.hex()[:6]}"
        return label

    def _let_go(self, targets: List[Target]) -> None:
        """Remove series that no worker has any more."""
        series = [target for target in targets if not isinstance(target, Overflowed)]
        for merged in series:
            named = self._shared.get(merged.name, {})
            if named.get(merged.tags) is merged:
                del named[merged.tags]
                self._shared_count -= 1
                if not named:
                    del self._shared[merged.name]
            if merged in self._own:
                owner, shared = self._own.pop(merged)
                owner.own.pop(shared, None)
        self.discard(series)

    def _remove(self, worker: Worker, series: Tuple[Target, ...] | List[Target]) -> None:
        """Let go of series that a worker has removed. They are gone when the last that has them has removed them."""
        if series:
            self._let_go([merged for merged in series if merged.retire(worker)])

    def _ask(self, worker: Worker) -> None:
        now = self.clock.monotonic()
        if now - worker.asked >= _REPEAT:
            worker.asked = now
            self.ask(worker)

    def _dismiss(self, identity: bytes, position: Position) -> None:
        now = self.clock.monotonic()
        if now - self._dismissed.get(identity, -math.inf) >= _REPEAT:
            self._dismissed[identity] = now
            self.dismiss(identity, position)

    def _set_clock(self, worker: Worker, frame: Frame) -> None:
        """Find out how far the clock of a worker is from the one here, and move its times if that is news.

        What a worker has done is over when it is told. So one that says that it goes by the clock here, and is ahead of
        it, goes by another one, and by what it says nobody else's slots and ticks are moved.
        """
        apart = worker.apart(frame.time)
        is_here = worker.hello.machine == self._machine and apart >= -UNSURE
        shift = 0.0 if is_here else worker.measured(apart)
        if shift != worker.shift:
            machine = worker.hello.machine
            if shift:
                neighbours = (each for each in self.workers.values() if each.hello.machine == machine)
                shift = alike(shift, [each.shift for each in neighbours if each is not worker])
            worker.shift = shift
            for merged in worker.everything():
                merged.moved(worker)

    def _count_bad(self, problem: str) -> None:
        """Count something that was dropped, and log the first of a row."""
        self._bad_frames.increment()
        self._bad_at = self.clock.monotonic()
        self._bad.failed(problem)

    def _is_gone(self, worker: Worker, silent: float) -> bool:
        hello = worker.hello
        if not hello.settles:
            return silent > _SILENT_HOST  # another aggregator that comes in its place goes on with what it has told
        if silent <= _LAST_WORDS:
            return False
        alive = self._is_alive(hello)
        if alive is not None:
            return not alive
        longest = _SILENT if hello.machine == self._machine else _SILENT_FAR
        return worker.ended or silent > self._lease(worker) + (_SILENT_MIDWAY if worker.unclaimed else longest)

    def _lease(self, worker: Worker) -> float:
        """Return for how many seconds nothing need be heard of a worker."""
        return max(self.lease, _FLUSHES * worker.hello.interval)

    def _is_near(self, hello: Hello) -> bool:
        """Whether it can be looked up here whether a process lives."""
        return bool(hello.processes) and (hello.machine, hello.processes) == (self._machine, self._processes)

    def _is_alive(self, hello: Hello) -> Optional[bool]:
        """Whether the process of a worker has not ended; None if that is not known."""
        return is_alive(hello.pid, hello.started) if self._is_near(hello) else None

    def _present(self) -> int:
        return sum(worker.present and worker.has_recorded for worker in list(self.workers.values()))

    def _see_whether_it_keeps_up(self, now: float) -> None:
        """Say so, once, when what is shown of a worker that is there is far older than it ought to be."""
        late = [worker for worker in self.workers.values() if now - worker.complete > self._lease(worker) + _LATE]
        late = [worker for worker in late if worker.present and worker.hello is not _UNKNOWN]
        self._late_since = min(self._late_since, now) if late else math.inf
        if now - self._late_since >= _LATE:
            oldest = min(late, key=lambda worker: worker.complete)
            self._late.failed(
                f"does not keep up with {len(late)} of {len(self.workers)} workers: what it shows of {oldest.name} is "
                f"{now - oldest.complete:.0f} s old. No total is lost, but rates and windows are wrong. Let workers "
                "publish less often (interval) or have fewer series, or give groups of workers an aggregator each."
            )
        elif not late:
            self._late.succeeded()

    def _staleness(self) -> float:
        now = self.clock.monotonic()
        return max([now - each.complete for each in list(self.workers.values()) if each.present], default=0.0)

    def _lag(self) -> float:
        return max([worker.lag for worker in list(self.workers.values()) if worker.present], default=0.0)

    def __repr__(self) -> str:
        return f"<UnifiedRegistry of {len(self)} series of {len(self.workers)} workers>"


def _class_of(new: Series) -> Type[Merged]:
    """Return the class of the metrics that a series goes into."""
    kind = kind_named(new.kind)
    assert kind is not None, f"{new.kind} has been left out"
    return class_of(kind)


def _named(target: Target) -> Kind:
    """Return the kind of a series whose states do not say it. Raises FrameError if states of its kind do."""
    if target.kind.code is not None:
        raise FrameError(f"A state of a kind that has a name is not one of {target!r}.")
    return target.kind


_UNKNOWN = Hello("an unknown host", "", "", 0, 0, 1.0, settles=True)
