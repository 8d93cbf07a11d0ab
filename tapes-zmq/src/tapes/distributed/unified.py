"""The unified registry: what the frames of all workers make together. No socket, no thread."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Tuple

from tapes.clock import SYSTEM_CLOCK, Clock
from tapes.distributed import frames, records
from tapes.distributed.departed import Departed
from tapes.distributed.figures import Figures
from tapes.distributed.foreign import Foreign
from tapes.distributed.frames import Frame, FrameError
from tapes.distributed.places import MAX_SERIES, MAX_TAG_SETS, Places
from tapes.distributed.presence import LEASE, UNKNOWN, Presence
from tapes.distributed.records import NAMED_STATE, STATE, Hello
from tapes.distributed.workers import UNSURE, Position, Worker, alike
from tapes.kinds.kind import BY_CODE
from tapes.registry import Registry
from tapes.state.histogram import NEVER, slot_start
from tapes.wire import Reader

if TYPE_CHECKING:
    from tapes.distributed.workers import Target
    from tapes.instruments import Instrument

_REPEAT = 2.0  # seconds after which a worker that does not begin anew is asked again


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
        self.gone = 0
        """How many workers have been merged for good."""
        self.departed = Departed()
        self.foreign = Foreign()
        """What was kept of kinds that are not known here."""
        self._dismissed: Dict[bytes, float] = {}  # those of them that were told so, and when
        self._presence = Presence(lease, system)
        self._figures = Figures(self, self.workers, self._presence, lambda: self.places.count)
        self.places = Places(
            *(self, self.workers, self._presence, self._figures, self.retire),
            by_worker=by_worker,
            max_series=max_series,
            max_tag_sets=max_tag_sets,
        )

    def apply(self, message: bytes) -> bool:
        """Take in a message, and return whether it was a frame of a worker that is not gone, and contradicts nothing.

        What is no such frame is counted and dropped, with a log line for the first in a row.
        """
        self._figures.messages.increment()
        try:
            return self._take(frames.decode(message))
        except FrameError as error:
            self._figures.count_bad(f"has dropped what is no frame of a worker. {error}")
            return False

    def tidy(self, now: Optional[float] = None) -> None:
        """Let go of workers that are gone. To be called now and then, whether messages are waiting or not.

        `now` is when it was seen how long this process had not run, which is excused: what passes between that look and
        this one is not silence of the workers.
        """
        now = self.clock.monotonic() if now is None else now
        self._figures.calm_down(now)
        self._dismissed = {identity: at for identity, at in self._dismissed.items() if now - at < _REPEAT}
        for worker in list(self.workers.values()):
            self._look_after(worker, now - worker.heard)
        self._figures.see_whether_it_keeps_up(now)

    def series(self, name: str) -> List[Instrument]:
        """Return the metrics of one name, without those of single workers."""
        return [metric for metric in super().series(name) if not self.places.is_of_one(metric)]

    def excuse(self, seconds: float) -> None:
        """Do not take it for silence of the workers that this process has not run, nor heard anybody, for a while."""
        now = self.clock.monotonic()
        for worker in self.workers.values():
            worker.heard = min(worker.heard + seconds, now)
        self._figures.excuse()

    def retire(self, worker: Worker) -> None:
        """Merge for good what a worker has told, which is gone. Its gauges go, what it has counted stays."""
        self.places.retire(worker)
        self.workers.pop(worker.identity, None)
        self.gone += 1
        self.departed.remember([(worker.identity, worker.known)])
        if worker.ended or self._presence.is_alive(worker.hello) is False:
            self.departed.end(worker.identity)

    def _look_after(self, worker: Worker, silent: float) -> None:
        """See to a worker that has been silent for so many seconds. If that fails it is lost, and no other."""
        try:
            self._see_whether_gone(worker, silent)
        except Exception as error:  # noqa: BLE001 -- it is logged
            worker.present = False
            self.workers.pop(worker.identity, None)
            self.departed.remember([(worker.identity, worker.known)])
            self._figures.count_bad(f"has to let go of {worker.name}: {error!r}. What it counts since is not seen.")

    def _see_whether_gone(self, worker: Worker, silent: float) -> None:
        """Let go of a worker that is gone, and ask one to begin anew of which something is missing."""
        worker.present = silent <= self._presence.lease_of(worker) and not worker.left
        if worker.hello is UNKNOWN:
            if not worker.present:
                del self.workers[worker.identity]  # nothing is known of it, so nothing of it is lost
            else:
                self._ask(worker)
        elif self._presence.is_gone(worker, silent):
            self.retire(worker)
        elif not worker.in_step and not worker.left:
            self._ask(worker)

    def _take(self, frame: Frame) -> bool:
        """Take in a frame, and return whether its worker is not gone. Of one that is, nothing is taken in any more."""
        worker = self.workers.get(frame.worker)
        if worker is None:
            position = self.departed.position_of(frame.worker)
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
        if frame.sequence == 0 and (frame.session > worker.session or worker.hello is UNKNOWN):
            self._begin(worker, frame)
        elif frame.session > worker.session or frame.sequence > worker.sequence or not worker.in_step:
            if worker.in_step or frame.session > worker.session:
                self._figures.gaps.increment()
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
        worker.forget_series()
        self._bound_unclaimed(worker)
        if not worker.settles:
            worker.number_parts_anew()
        worker.is_full = False

    def _bound_unclaimed(self, worker: Worker) -> None:
        """Let go of the oldest series of a worker that begins again and again, and never tells to the end."""
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
                    raise FrameError("A state is of no series that the worker has named.")
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
        """Take note that everything is known that the worker had recorded by the time of the frame."""
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
        """Take note of a worker that is known from before a restart, and return it."""
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
        """Find out how far the clock of a worker is from the one here, and move its times if that is news.

        What a worker has done is over when it is told. So one that says that it goes by the clock here, and is ahead of
        it, goes by another one, and by what it says nobody else's slots and ticks are moved.
        """
        apart = worker.apart(frame.time)
        is_here = worker.hello.machine == self._presence.machine and apart >= -UNSURE
        shift = 0.0 if is_here else worker.measured(apart)
        if shift != worker.shift:
            machine = worker.hello.machine
            if shift:
                neighbours = (each for each in self.workers.values() if each.hello.machine == machine)
                shift = alike(shift, [each.shift for each in neighbours if each is not worker])
            worker.shift = shift
            for merged in worker.everything():
                merged.moved(worker)

    def __repr__(self) -> str:
        return f"<UnifiedRegistry of {len(self)} series of {len(self.workers)} workers>"
