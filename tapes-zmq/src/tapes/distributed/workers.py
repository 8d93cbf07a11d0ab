"""Workers: what an aggregator knows of each process that publishes to it, its clock included."""

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
"""A session of a worker, and the sequence number of a frame in it."""

UNSURE = 1.0
"""Seconds by which the shift of a worker may be more than it has to be."""

_A_WHILE = 300.0  # seconds over which the least shift is looked for


class Worker:
    """A process that publishes a registry."""

    def __init__(self, identity: bytes, hello: Hello, heard: float, shift: Optional[float] = None) -> None:
        self.identity = identity
        self.hello = hello
        self.present = True
        """Whether it has been heard of within the lease."""
        self.shift = shift
        """What has to be added to its times to have them by the clock here; None if that is not known yet."""
        self._newest = -math.inf
        self._least = math.inf
        self._since = -math.inf
        self.settles = hello.settles
        self.told = NEVER
        """The time, by its own clock, up to which its last frame told what it had recorded."""
        self.settled = NEVER
        """The time up to which it has told everything."""
        self.heard = heard
        """When the last of its frames came."""
        self.complete = heard
        """Up to when everything that it has recorded is known, by the clock here; at first since when it is known."""
        self.lag = 0.0
        """How old the states of its last flush were when they had been merged, in seconds."""
        self.left = False
        """Whether it has said that it leaves."""
        self.ended = False
        """Whether it has said that its process ends."""
        self.session = 0
        self.sequence = 0
        """The number of the frame that is next."""
        self.known: Position = (0, 0)
        """The first frame of which nothing is known: all before it have been taken in, or need not be."""
        self.in_step = False
        """Whether no frame of its session is missing."""
        self.asked = -math.inf
        """When it was last asked to begin anew."""
        self.series: Dict[int, Tuple[Target, ...]] = {}
        """What it sends, by its number in the session: the series of all workers and, if asked for, its own. Nothing of
        a series that is left out. It is changed by `place`, `take_out` and `forget_series` alone."""
        self._names: Dict[str, int] = {}  # of how many of them that are not left out each is the name
        self.is_full = False
        """Whether it has more series than are kept of a worker."""
        self.unclaimed: List[Target] = []
        """Series of its earlier session that it has not named again in this one."""
        self.earlier: Dict[Target, int] = {}
        """The numbers that they had, until all series have been named again."""
        self.overflowed: Dict[int, Overflowed] = {}
        """Those of its series that are parts of overflow series, by their numbers."""
        # Those of an aggregator from before its session, until all series have been named again: by what they are, or
        # by their numbers where that is not known.
        self._earlier_parts: Dict[Union[What, int], Overflowed] = {}
        self.own: Dict[Merged, Merged] = {}
        """The series that show it alone, by the shared ones that they are beside."""
        self.has_recorded = False
        """Whether it has told of anything recorded. A process that has not, as one that only forks, counts as none."""
        self.label = ""
        """What tells its series from those of other workers, once it has any."""

    @property
    def name(self) -> str:
        """How people tell it from others, in logs and tags: what of its host cannot be printed is a question mark."""
        host = "".join([character if character.isprintable() else "?" for character in self.hello.host])
        return f"{host}:{self.hello.pid}"

    def everything(self) -> List[Target]:
        """Return all series that it has a share in."""
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
        """Return its series of this number as a part of an overflow series. Which series it is may not be known."""
        made = self.overflowed[number] = Overflowed(merged, Part(self, number), None if of is None else _what(of))
        return made

    def number_parts_anew(self) -> None:
        """Begin a session of an aggregator, which numbers its series anew if it was started again."""
        earlier, self.overflowed = self.overflowed, {}
        self._earlier_parts.update({each.of or number: each for number, each in earlier.items()})

    def forget_earlier_parts(self) -> None:
        """Take note that all series of the session have been named."""
        self._earlier_parts = {}

    def forget_part(self, part: Overflowed) -> None:
        """Take note that a part of an overflow series is none any more."""
        number = part.part.number
        if self.overflowed.get(number) is part:
            del self.overflowed[number]
        if self._earlier_parts.get(part.of or number) is part:
            del self._earlier_parts[part.of or number]

    def part_of_overflow(self, named: Series) -> Optional[Overflowed]:
        """Return the part of an overflow series that a series is which the worker names; None if it is none."""
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

    def apart(self, time: float) -> float:
        """Return how far its clock is from the one here at the most, after a frame of this time of its clock.

        What it has told before is not from the future either, if its clock has been put back.
        """
        self._newest = max(self._newest, time)
        return self.heard - self._newest

    def measured(self, apart: float) -> float:
        """Return the shift of its clock, which a frame shows to be so far from the one here at the most.

        A frame shows the clocks to be apart by what they are and by what it took to come. So the least is right, and
        the least of a while where one clock is slower. It is not followed in every detail, since the slots of the
        worker move with it.
        """
        shift, now = self.shift, self.heard
        self._least = min(self._least, apart)
        if shift is None or apart < shift - UNSURE:
            return apart
        if now - self._since > _A_WHILE:
            if self._least > shift + UNSURE and self._since > -math.inf:
                shift = self._least
            self._least, self._since = math.inf, now
        return shift


class Part:
    """One series of a worker, as the source of a part of an overflow series, which has many of one worker."""

    __slots__ = ("number", "worker")

    def __init__(self, worker: Worker, number: int) -> None:
        self.worker = worker
        self.number = number

    @property
    def present(self) -> bool:
        """As of the worker."""
        return self.worker.present

    @property
    def shift(self) -> Optional[float]:
        """As of the worker."""
        return self.worker.shift

    @property
    def heard(self) -> float:
        """As of the worker."""
        return self.worker.heard

    @property
    def settles(self) -> bool:
        """As of the worker."""
        return self.worker.settles

    @property
    def told(self) -> float:
        """As of the worker."""
        return self.worker.told

    @property
    def settled(self) -> float:
        """As of the worker."""
        return self.worker.settled


class Overflowed:
    """A series of a worker for which there is no room, as a part of an overflow series: a target like any other.

    It stays one for as long as the worker has it, since nothing can be taken out of what has been merged.
    """

    __slots__ = ("merged", "of", "part")

    lasts = True

    def __init__(self, merged: Merged, part: Part, of: Optional[What]) -> None:
        self.merged = merged
        """The overflow series."""
        self.part = part
        self.of = of
        """Which series it is; None if that is not known yet, after a restart."""

    @property
    def kind(self) -> Kind:
        """The kind of both."""
        return self.merged.kind

    @property
    def name(self) -> str:
        """The name of the overflow series."""
        return self.merged.name

    def take(self, worker: Worker, update: Any) -> None:
        """Take in what the worker has told."""
        self.merged.take(self.part, update)

    def moved(self, worker: Worker) -> None:
        """Take note that the shift of the worker is another one."""
        self.merged.moved(self.part)

    def settle(self, worker: Worker) -> None:
        """Merge what the worker will not replace any more."""
        self.merged.settle(self.part)

    def is_unused(self) -> bool:
        """Return False: an overflow series stays."""
        return False

    def retire(self, worker: Worker) -> bool:
        """Merge what has been told, and return False: an overflow series stays."""
        worker.forget_part(self)
        self.merged.retire(self.part)
        return False

    def __repr__(self) -> str:
        return repr(self.merged)


def _what(series: Series) -> What:
    return series.kind, series.name, series.tags


def alike(shift: float, others: Iterable[Optional[float]]) -> float:
    """Return one of `others` that may as well be the `shift` of a worker, or that itself.

    Workers with the same shift share their slots.
    """
    return next((other for other in others if other is not None and abs(other - shift) <= UNSURE), shift)
