"""The unified registry: merges the frames of all workers. Without sockets or threads."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Tuple

from tapes.clock import SYSTEM_CLOCK, Clock
from tapes.distributed import frames, records
from tapes.distributed.frames import Frame, FrameError
from tapes.distributed.own_metrics import OwnMetrics
from tapes.distributed.places import MAX_SERIES, MAX_TAG_SETS, Places
from tapes.distributed.presence import LEASE, UNKNOWN, Presence
from tapes.distributed.records import NAMED_STATE, STATE, Hello
from tapes.distributed.retired import Retired
from tapes.distributed.unknown_kinds import UnknownKinds
from tapes.distributed.workers import UNSURE, Position, Worker, alike
from tapes.kinds.kind import BY_CODE
from tapes.registry import Registry
from tapes.state.histogram import NEVER, slot_start
from tapes.wire import Reader

if TYPE_CHECKING:
    from tapes.distributed.workers import Target
    from tapes.instruments import Instrument

_REPEAT = 2.0  # seconds after which a worker that does not begin a new session is asked again


class UnifiedRegistry(Registry):
    """A registry of the merged metrics of many workers, made from their frames.

    Reading is thread-safe, as in any registry. Call `apply` and `tidy` from one thread only. The gauges of a silent
    worker count for `lease` seconds, or three of its intervals if that is longer. With `by_worker` each live worker
    also has its own series, with a tag `worker`.

    Its metrics about itself are the counters `tapes.aggregator.messages`, `.bad_frames`, `.gaps`, `.left_out` (series
    that could not be added) and `.overflowed` (series that share an overflow series), and the gauges `.series`,
    `.workers`, `.lag` (age in seconds of the states of the slowest worker when they were merged) and `.staleness`
    (seconds since everything that a worker had recorded was last known, for the worker where that is longest).
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
        """Use `clock`, the clock of the running system named `system` (default: this one)."""
        super().__init__(clock=clock, max_tag_sets=sys.maxsize)
        self.max_series = max_series
        self.most_tag_sets = max_tag_sets
        """The most tag sets that the shared series of one name may have."""
        self.by_worker = by_worker
        self.workers: Dict[bytes, Worker] = {}
        """The known workers, by identity."""
        self.ask: Callable[[Worker], None] = lambda worker: None
        """Called with a worker that has to begin a new session, because a frame is missing."""
        self.confirm: Callable[[Worker], None] = lambda worker: None
        """Called with a worker that leaves, once everything of it is known."""
        self.dismiss: Callable[[bytes, Position], None] = lambda identity, position: None
        """Called with the identity of a retired worker that goes on, and the position up to which it is known."""
        self.identity = os.urandom(16)
        """Identifies it to an aggregator that it publishes to. A successor takes it over."""
        self.gone = 0
        """How many workers have been retired."""
        self.taken_in = 0
        """How many messages have come."""
        self.retired = Retired()
        self.unknown_kinds = UnknownKinds()
        """What was kept of kinds that are not known here."""
        self._dismissed: Dict[bytes, float] = {}  # those of them that were told so, and when
        self._presence = Presence(lease, system)
        self.own_metrics = OwnMetrics(self, self.workers, self._presence, lambda: self.places.count)
        self.places = Places(
            *(self, self.workers, self._presence, self.own_metrics, self.retire),
            by_worker=by_worker,
            max_series=max_series,
            max_tag_sets=max_tag_sets,
        )

    def apply(self, message: bytes) -> bool:
        """Take in a message. Return True if it is a valid frame of a worker that is not retired.

        An invalid one is counted and dropped; the first in a row is logged.
        """
        self.own_metrics.messages.increment()
        self.taken_in += 1
        try:
            return self._take(frames.decode(message))
        except FrameError as error:
            self.own_metrics.count_bad_frame(f"has dropped an invalid frame. {error}")
            return False

    def tidy(self, now: Optional[float] = None) -> None:
        """Retire workers that are gone. Call it now and then, also while messages are waiting.

        `now` is the time of the last stall check: time after it does not count as silence of the workers.
        """
        now = self.clock.monotonic() if now is None else now
        self.own_metrics.end_streak(now)
        self._dismissed = {identity: at for identity, at in self._dismissed.items() if now - at < _REPEAT}
        for worker in list(self.workers.values()):
            self._check_worker(worker, now - worker.heard)
        self.own_metrics.check_lateness(now)

    def series(self, name: str) -> List[Instrument]:
        """Return the metrics of one name, without the series of single workers."""
        return [metric for metric in super().series(name) if not self.places.is_of_one_worker(metric)]

    def ignore_stall(self, seconds: float) -> None:
        """Do not count the last `seconds`, in which this process was stalled, as silence of the workers."""
        now = self.clock.monotonic()
        for worker in self.workers.values():
            worker.heard = min(worker.heard + seconds, now)
        self.own_metrics.restart_lateness()

    def retire(self, worker: Worker) -> None:
        """Retire a worker that is gone. Its gauges go, what it has counted stays."""
        self.places.retire(worker)
        self.workers.pop(worker.identity, None)
        self.gone += 1
        self.retired.remember([(worker.identity, worker.known)])
        if worker.ended or self._presence.is_alive(worker.hello) is False:
            self.retired.end(worker.identity)

    def _check_worker(self, worker: Worker, silent: float) -> None:
        """Check a worker that has been silent for `silent` seconds. On an error only that worker is dropped."""
        try:
            self._check_presence(worker, silent)
        except Exception as error:  # noqa: BLE001 -- it is logged
            worker.present = False
            self.workers.pop(worker.identity, None)
            self.retired.remember([(worker.identity, worker.known)])
            self.own_metrics.count_bad_frame(
                f"has dropped {worker.name}: {error!r}. What this worker counts from now on is missing."
            )

    def _check_presence(self, worker: Worker, silent: float) -> None:
        """Retire a worker that is gone; ask one with missing frames to begin a new session."""
        worker.present = silent <= self._presence.lease_of(worker) and not worker.left
        if worker.hello is UNKNOWN:
            if not worker.present:
                del self.workers[worker.identity]  # nothing is known of it, so nothing is lost
            else:
                self._ask(worker)
        elif self._presence.is_gone(worker, silent):
            self.retire(worker)
        elif not worker.in_step and not worker.left:
            self._ask(worker)

    def _take(self, frame: Frame) -> bool:
        """Take in a frame. Return False, and take in nothing, if its worker is retired."""
        worker = self.workers.get(frame.worker)
        if worker is None:
            position = self.retired.position_of(frame.worker)
            if position is not None:
                if (frame.session, frame.sequence) >= position:
                    self._dismiss(frame.worker, position)
                return False
            if frame.sequence:
                worker = Worker(frame.worker, UNKNOWN, self.clock.monotonic())
                worker.session = frame.session
                self.workers[frame.worker] = worker
            else:
                hello = self._hello_of(frame)
                worker = self.workers[frame.worker] = Worker(frame.worker, hello, self.clock.monotonic())
        try:
            self._take_known(worker, frame)
        except FrameError:
            worker.in_step = False
            raise
        except Exception as error:  # no frame may end the aggregator
            worker.in_step = False
            raise FrameError(f"It contradicts earlier frames of {worker.name}: {error!r}.") from error
        return True

    def _take_known(self, worker: Worker, frame: Frame) -> None:
        """Take in a frame of a known worker."""
        worker.heard = self.clock.monotonic()
        worker.present = not worker.left  # after a farewell only a frame that begins a session is new
        if frame.session < worker.session:
            return
        if frame.sequence == 0 and (frame.session > worker.session or worker.hello is UNKNOWN):
            self._begin(worker, frame)
        elif frame.session > worker.session or frame.sequence > worker.sequence or not worker.in_step:
            if worker.in_step or frame.session > worker.session:
                self.own_metrics.gaps.increment()
            worker.session = max(worker.session, frame.session - 1)
            worker.in_step = False
            self._ask(worker)
            return
        elif frame.sequence < worker.sequence:
            return
        worker.sequence += 1
        self._set_clock(worker, frame)
        worker.frame_time = frame.time
        self._take_records(worker, frame)
        worker.known = (worker.session, worker.sequence)
        if frame.flags & frames.END:
            self._end(worker, frame)

    def _hello_of(self, frame: Frame) -> Hello:
        """Return the hello in the first frame of a session. Raises FrameError if there is none."""
        for kind, start, end in frame.records():
            if kind == records.HELLO:
                return records.read_hello(Reader(frame.body, start, end))
            break
        raise FrameError("The first frame of a session has no hello.")

    def _begin(self, worker: Worker, frame: Frame) -> None:
        """Begin a session, in which the worker publishes everything from the start."""
        worker.hello = hello = self._hello_of(frame)
        worker.settles = hello.settles
        worker.session, worker.sequence = frame.session, 0
        worker.in_step = True
        worker.left = worker.ended = False
        worker.present = True
        worker.unclaimed = list(dict.fromkeys(worker.everything()))
        worker.earlier.update({targets[0]: number for number, targets in worker.series.items() if targets})
        worker.forget_series()
        self._bound_unclaimed(worker)
        if not worker.settles:
            worker.number_parts_anew()
        worker.is_full = False

    def _bound_unclaimed(self, worker: Worker) -> None:
        """Drop the oldest unclaimed series, for a worker that begins session after session without completing one."""
        most = self.max_series * (1 + self.by_worker)
        worker.unclaimed, oldest = worker.unclaimed[:most], worker.unclaimed[most:]
        self.places.remove(worker, oldest)
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
                number = records.read_number(reader)
                targets = series.get(number, () if worker.is_full else None)
                if targets is None:
                    raise FrameError("A state belongs to no series that the worker has named.")
                if kind is None:
                    self._take_named(worker, number, targets, reader)
                    continue
                if targets and targets[0].kind != kind:
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
                    worker.place(new.number, self.places.targets(worker, new))
                else:
                    worker.is_full = True
                    self.places.leave_out(worker, new, f"it has more than {self.max_series:,} series.")
            elif what == records.REMOVED:
                self.places.remove(worker, worker.take_out(records.read_removed(reader)))
            elif what == records.FACTS:
                name, said = records.read_facts(reader)
                if worker.names(name):  # what is left out may have the name of what others mean something else by
                    self.describe(name, said)
            elif what != records.HELLO:
                raise FrameError(f"There are no records of type {what}.")

    def _take_named(self, worker: Worker, number: int, targets: Tuple[Target, ...], reader: Reader) -> None:
        """Take in a state of a kind that has a name. One that cannot be read takes nothing else along.

        Its kind comes from another distribution, which may have another version where the worker runs.
        """
        if not targets:  # it is left out, and nobody here may know how to read it
            worker.has_recorded = True
            return
        kind = targets[0].kind
        if kind.code is not None:
            raise FrameError(f"A state of a kind that has a name is not one of {targets[0]!r}.")
        try:
            update = kind.read(reader)
            reader.finish()
            worker.has_recorded = worker.has_recorded or kind.has_recorded(update)
        except Exception as error:  # noqa: BLE001 -- it is logged
            worker.has_recorded = True
            worker.place(number, self.places.leave_out_unread(worker, targets, error))
            return
        for target in targets:
            target.take(worker, update)

    def _end(self, worker: Worker, frame: Frame) -> None:
        """Note that everything is known that the worker had recorded by the time of the frame."""
        worker.earlier = {}
        worker.forget_earlier_parts()
        if worker.unclaimed:
            claimed = {merged for series in worker.series.values() for merged in series}
            unclaimed, worker.unclaimed = worker.unclaimed, []
            self.places.remove(worker, [merged for merged in unclaimed if merged not in claimed])
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

    def expect(self, identity: bytes, hello: Hello) -> Worker:
        """Add a worker that is known from before a restart, and return it."""
        worker = Worker(
            identity, hello, self.clock.monotonic(), 0.0 if hello.machine == self._presence.machine else None
        )
        worker.present = False
        self.workers[identity] = worker
        return worker

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
        """Measure how far the clock of a worker is from the one here, and shift its times if that has changed.

        A frame tells of the past. So a worker that claims to have the clock of this machine, but is ahead of it, has
        another clock: it is measured like one of another host, and the slots and ticks of others do not move.
        """
        bound = worker.shift_bound(frame.time)
        is_here = worker.hello.machine == self._presence.machine and bound >= -UNSURE
        shift = 0.0 if is_here else worker.measured_shift(bound)
        if shift != worker.shift:
            machine = worker.hello.machine
            if shift:
                neighbours = (each for each in self.workers.values() if each.hello.machine == machine)
                shift = alike(shift, [each.shift for each in neighbours if each is not worker])
            worker.shift = shift
            for merged in worker.everything():
                merged.shift_changed(worker)

    def __repr__(self) -> str:
        return f"<UnifiedRegistry of {len(self)} series of {len(self.workers)} workers>"
