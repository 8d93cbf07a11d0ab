"""Workers: what an aggregator knows of each process that publishes to it, its clock included."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Dict, Iterable, List, Optional, Tuple

from tapes.state.histogram import NEVER

if TYPE_CHECKING:
    from tapes.distributed.merging import Merged
    from tapes.distributed.records import Hello

Position = Tuple[int, int]
"""A session of a worker, and the sequence number of a frame in it."""

UNSURE = 1.0
"""Seconds by which the shift of a worker may be more than it has to be."""

_A_WHILE = 300.0  # seconds over which the least shift is looked for


class Worker:
    """A process that publishes a registry."""

    def __init__(self, identity: bytes, hello: Hello, shift: Optional[float] = None) -> None:
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
        self.heard = 0.0
        """When the last of its frames came."""
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
        self.series: Dict[int, Tuple[Merged, ...]] = {}
        """What it sends, by its number in the session: the series of all workers and, if asked for, its own."""
        self.unclaimed: List[Merged] = []
        """Series of its earlier session that it has not named again in this one."""
        self.own: Dict[Merged, None] = {}
        """Those of its series that are of no other worker."""
        self.has_recorded = False
        """Whether it has told of anything recorded. A process that has not, as one that only forks, counts as none."""
        self.label = ""
        """What tells its series from those of other workers, once it has any."""

    @property
    def name(self) -> str:
        """How people tell it from others."""
        return f"{self.hello.host}:{self.hello.pid}"

    def everything(self) -> List[Merged]:
        """Return all series that it has a share in."""
        return [*(merged for series in self.series.values() for merged in series), *self.unclaimed]

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


def alike(shift: float, others: Iterable[Optional[float]]) -> float:
    """Return one of `others` that may as well be the `shift` of a worker, or that itself.

    Workers with the same shift share their slots.
    """
    return next((other for other in others if other is not None and abs(other - shift) <= UNSURE), shift)
