"""Workers: what an aggregator knows of each process that publishes to it, including its clock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple, Union

from tapes.state.histogram import NEVER

if TYPE_CHECKING:
    from tapes.distributed.merging import Merged
    from tapes.distributed.records import Hello, Series
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags

    Target = Union[Merged, "Overflowed"]

    What = Tuple[str, str, Tags]  # kind, name and tags

Position = Tuple[int, int]
"""A session of a worker, and the number of a frame in it."""

UNSURE = 1.0
"""Seconds by which the shift of a worker may be too large."""

_A_WHILE = 300.0  # seconds over which the smallest shift is measured


class Worker:
    """A process that publishes a registry."""

    def __init__(self, identity: bytes, hello: Hello, heard: float, shift: Optional[float] = None) -> None:
        self.identity = identity
        self.hello = hello
        self.present = True
        """Whether it was heard within the lease, and has not left."""
        self.shift = shift
        """Seconds to add to its times to have them by the clock here; None if not known yet."""
        self._newest = -math.inf
        self._least = math.inf
        self._since = -math.inf
        self.settles = hello.settles
        self.frame_time = NEVER
        """The time of its last frame, by its own clock."""
        self.settled = NEVER
        """The time up to which everything of it is known, by its own clock."""
        self.heard = heard
        """When its last frame came, by the clock here."""
        self.complete = heard
        """The time up to which everything of it is known, by the clock here; at first, when it was first heard."""
        self.lag = 0.0
        """The age in seconds of the states of its last flush when they had been merged."""
        self.left = False
        """Whether it has sent its farewell."""
        self.ended = False
        """Whether its farewell said that its process ends."""
        self.session = 0
        self.sequence = 0
        """The number of the next frame."""
        self.known: Position = (0, 0)
        """The position before which all frames are taken in, or need not be."""
        self.in_step = False
        """Whether no frame of its session is missing."""
        self.asked = -math.inf
        """When it was last asked to begin a new session."""
        self.series: Dict[int, Tuple[Target, ...]] = {}
        """What it sends, by its number in the session: the series of all workers and, if asked for, its own. Nothing of
        a series that is left out. It is changed by `place`, `take_out` and `forget_series` alone."""
        self._names: Dict[str, int] = {}  # of how many of them that are not left out each is the name
        self.is_full = False
        """Whether it has more series than a worker may have."""
        self.unclaimed: List[Target] = []
        """The targets of its earlier session that it has not named again in this one."""
        self.earlier: Dict[Target, int] = {}
        """The numbers that these had, until all series are named again."""
        self.overflowed: Dict[int, Overflowed] = {}
        """Its series that are parts of overflow series, by number."""
        # The same from before the session of an aggregator, until all series are named again: by series, or by number
        # where the series is not known.
        self._earlier_parts: Dict[Union[What, int], Overflowed] = {}
        self.own: Dict[Merged, Merged] = {}
        """Its own series, by the shared ones."""
        self.has_recorded = False
        """Whether it has recorded anything. If not, as a process that only forks, it does not count as a worker."""
        self.label = ""
        """The tag `worker` of its own series, once it has any."""

    @property
    def name(self) -> str:
        """The host and pid, for logs and tags. Unprintable characters become question marks."""
        host = "".join([character if character.isprintable() else "?" for character in self.hello.host])
        return f"{host}:{self.hello.pid}"

    def everything(self) -> List[Target]:
        """Return all targets of its series."""
        return [*(merged for series in self.series.values() for merged in series), *self.unclaimed]

    def place(self, number: int, targets: Tuple[Target, ...]) -> None:
        """Take note of what the states of a number go into from now on."""
        self.take_out(number)
        self.series[number] = targets
        if targets:
            name = targets[0].name
            self._names[name] = self._names.get(name, 0) + 1

    def take_out(self, number: int) -> Tuple[Target, ...]:
        """Take out a number, and return what its states went into."""
        targets = self.series.pop(number, ())
        if targets:
            name = targets[0].name
            self._names[name] -= 1
            if not self._names[name]:
                del self._names[name]
        return targets

    def forget_series(self) -> None:
        """Forget all numbers."""
        self.series, self._names = {}, {}

    def names(self, name: str) -> bool:
        """Whether it sends a series of this name that is not left out."""
        return name in self._names

    def overflow(self, number: int, merged: Merged, of: Optional[Series] = None) -> Overflowed:
        """Make its series with this number a part of an overflow series, and return that. `of` is None if unknown."""
        made = self.overflowed[number] = Overflowed(merged, Part(self, number), None if of is None else _what(of))
        return made

    def number_parts_anew(self) -> None:
        """Prepare for a new session of an aggregator, which numbers its series anew after a restart."""
        earlier, self.overflowed = self.overflowed, {}
        self._earlier_parts.update({each.of or number: each for number, each in earlier.items()})

    def forget_earlier_parts(self) -> None:
        """Note that all series of the session have been named."""
        self._earlier_parts = {}

    def forget_part(self, part: Overflowed) -> None:
        """Remove a part of an overflow series."""
        number = part.part.number
        if self.overflowed.get(number) is part:
            del self.overflowed[number]
        if self._earlier_parts.get(part.of or number) is part:
            del self._earlier_parts[part.of or number]

    def part_of_overflow(self, named: Series) -> Optional[Overflowed]:
        """Return the part of an overflow series for a series that the worker names; None if it is not one."""
        number = named.number
        known = self.overflowed.get(number)
        if known is None:
            known = self._earlier_parts.pop(_what(named), None) or self._earlier_parts.pop(number, None)
        if known is None or known.kind != named.kind:
            return None
        known.of = _what(named)
        known.part.number = number
        self.overflowed[number] = known
        return known

    def shift_bound(self, time: float) -> float:
        """Return an upper bound of its shift, from a frame with this `time` by its clock.

        If its clock was set back, earlier frames bound it too: they were not from the future either.
        """
        self._newest = max(self._newest, time)
        return self.heard - self._newest

    def measured_shift(self, bound: float) -> float:
        """Return the shift of its clock, given the upper bound `bound` of a new frame.

        A frame shows the shift plus the time that it took to arrive, so the smallest is right. Where one clock is
        slower, the smallest of the last minutes is. Small changes are ignored, since the slots of the worker move with
        the shift.
        """
        shift, now = self.shift, self.heard
        self._least = min(self._least, bound)
        if shift is None or bound < shift - UNSURE:
            return bound
        if now - self._since > _A_WHILE:
            if self._least > shift + UNSURE and self._since > -math.inf:
                shift = self._least
            self._least, self._since = math.inf, now
        return shift


class Part:
    """One series of a worker, as a source of an overflow series, which may have many series of one worker."""

    __slots__ = ("number", "worker")

    def __init__(self, worker: Worker, number: int) -> None:
        self.worker = worker
        self.number = number

    @property
    def present(self) -> bool:
        """That of the worker."""
        return self.worker.present

    @property
    def shift(self) -> Optional[float]:
        """That of the worker."""
        return self.worker.shift

    @property
    def heard(self) -> float:
        """That of the worker."""
        return self.worker.heard

    @property
    def settles(self) -> bool:
        """That of the worker."""
        return self.worker.settles

    @property
    def frame_time(self) -> float:
        """That of the worker."""
        return self.worker.frame_time

    @property
    def settled(self) -> float:
        """That of the worker."""
        return self.worker.settled


class Overflowed:
    """A target for a series beyond a limit: a part of an overflow series.

    It stays one as long as the worker has it, since nothing can be taken out of what is merged.
    """

    __slots__ = ("merged", "of", "part")

    lasts = True

    def __init__(self, merged: Merged, part: Part, of: Optional[What]) -> None:
        self.merged = merged
        """The overflow series."""
        self.part = part
        self.of = of
        """The worker's series; None if not known yet, after a restart."""

    @property
    def kind(self) -> Kind:
        """The kind of both."""
        return self.merged.kind

    @property
    def name(self) -> str:
        """The name of the overflow series."""
        return self.merged.name

    def take(self, worker: Worker, update: Any) -> None:
        """Take in an update of the worker."""
        self.merged.take(self.part, update)

    def shift_changed(self, worker: Worker) -> None:
        """Adapt to a new shift of the worker."""
        self.merged.shift_changed(self.part)

    def settle(self, worker: Worker) -> None:
        """Merge for good what is settled of the worker."""
        self.merged.settle(self.part)

    def is_unused(self) -> bool:
        """Return False: an overflow series stays."""
        return False

    def retire(self, worker: Worker) -> bool:
        """Merge this part for good, and return False: an overflow series stays."""
        worker.forget_part(self)
        self.merged.retire(self.part)
        return False

    def __repr__(self) -> str:
        return repr(self.merged)


def _what(series: Series) -> What:
    return series.kind, series.name, series.tags


def alike(shift: float, others: Iterable[Optional[float]]) -> float:
    """Return one of `others` within UNSURE of the `shift` of a worker, or else the shift itself.

    Workers with the same shift share their slots.
    """
    return next((other for other in others if other is not None and abs(other - shift) <= UNSURE), shift)
