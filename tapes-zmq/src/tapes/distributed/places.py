"""Assigns the series of workers to places: shared series, series of one worker, or overflow series."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Set, Tuple, Type

from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.merging import Merged, class_of
from tapes.distributed.records import OVERFLOW_NAME
from tapes.distributed.unknown_kinds import MOST_BYTES, MOST_SERIES
from tapes.distributed.workers import Overflowed
from tapes.errors import MetricError
from tapes.kinds.kind import kind_named
from tapes.name_tree import OVERFLOW
from tapes.streak import Streak, log_once

if TYPE_CHECKING:
    from tapes.distributed.own_metrics import OwnMetrics
    from tapes.distributed.presence import Presence
    from tapes.distributed.records import Series
    from tapes.distributed.workers import Target, Worker
    from tapes.instruments import Instrument
    from tapes.naming import Tags
    from tapes.registry import Registry

MAX_SERIES = 100_000
"""The most series, by default."""

MAX_TAG_SETS = 2000
"""The most tag sets of one name, by default."""

_UNKNOWN_KINDS = 16  # the most unknown kinds that are logged


class Places:
    """The series of a registry that take in the states of workers."""

    def __init__(
        self,
        registry: Registry,
        workers: Dict[bytes, Worker],
        presence: Presence,
        own_metrics: OwnMetrics,
        retire_worker: Callable[[Worker], None],
        *,
        by_worker: bool,
        max_series: int,
        max_tag_sets: int,
    ) -> None:
        """`retire_worker` is called with a worker whose label another one has taken over."""
        self._registry = registry
        self._workers = workers
        self._presence = presence
        self._own_metrics = own_metrics
        self._retire_worker = retire_worker
        self._by_worker = by_worker
        self._max_series = max_series
        self._most_tag_sets = max_tag_sets
        self._own: Dict[Merged, Tuple[Worker, Merged]] = {}  # series of single workers: the worker, the shared series
        self._omissions = Streak(LOGGER_NAME, "The aggregator")
        self._clashes = Streak(LOGGER_NAME, "The aggregator")
        self._unknown_kinds: Set[str] = set()
        self._kept_kinds: Set[str] = set()
        """Unknown kinds of which the state has series. They stay unknown until the next start, also if they become
        known here: what workers tell of them again would count beside what the state has."""
        self._unread_kinds: Set[str] = set()  # of which a state could not be read, as was logged
        self._shared: Dict[str, Dict[Tags, Merged]] = {}  # by name and tags, without those that others overflow to
        self.count = 0
        """How many series workers share."""

    def targets(self, worker: Worker, new: Series) -> Tuple[Target, ...]:
        """Return the targets for the states of a series that a worker has named; empty if it is left out."""
        if new.kind in self._kept_kinds or kind_named(new.kind) is None:
            self._own_metrics.left_out.increment()
            self.leave_out_kind(new.kind)
            return ()
        try:
            overflowed = self._overflowed_series(worker, new)
            if overflowed is not None:
                return (overflowed,)
            merged = self.merged(new, new.tags)
            own = self._own_series(worker, new, merged) if self._by_worker else None
            number = worker.earlier.pop(merged, new.number)
            if number != new.number and worker.settles:  # removed and created again: that is another series
                self.remove(worker, [merged] if own is None else [merged, own])
                return self.targets(worker, new)
            return (merged,) if own is None else (merged, own)
        except MetricError as error:
            return self._targets_beside(worker, new, error)

    def _targets_beside(self, worker: Worker, new: Series, error: MetricError) -> Tuple[Target, ...]:
        """Return the targets of a series whose name others use for another kind: one with the kind in its name."""
        suffix = f"_{new.kind}"
        if new.name.endswith(suffix):
            self.leave_out(worker, new, f"it clashes with series of other workers. {error}")
            return ()
        self._clashes.failed(
            f"shows the {new.kind} {new.name!r} of {worker.name} as {new.name + suffix!r}, because other workers have "
            "series of another kind under that name: give one of them another name."
        )
        return self.targets(worker, new._replace(name=new.name + suffix))

    def remove(self, worker: Worker, series: Tuple[Target, ...] | List[Target]) -> None:
        """Remove series from a worker. A series goes when its last worker has removed it."""
        if series:
            self._remove_unused([merged for merged in series if merged.retire(worker)])

    def _remove_unused(self, targets: List[Target]) -> None:
        """Remove series that no worker has any more from the registry."""
        series = [target for target in targets if not isinstance(target, Overflowed)]
        for merged in series:
            named = self._shared.get(merged.name, {})
            if named.get(merged.tags) is merged:
                del named[merged.tags]
                self.count -= 1
                if not named:
                    del self._shared[merged.name]
            if merged in self._own:
                owner, shared = self._own.pop(merged)
                owner.own.pop(shared, None)
        self._registry.discard(series)

    def retire(self, worker: Worker) -> None:
        """Merge for good all of a worker that is gone. Its gauges go, what it has counted stays."""
        without = [target for target in worker.everything() if self._has_merged(target, worker)]
        self._remove_unused([target for target in without if target in self._own or not target.lasts])
        worker.forget_series()
        worker.unclaimed, worker.earlier = [], {}  # parts of overflow series refer to it
        worker.forget_earlier_parts()

    def _has_merged(self, target: Target, worker: Worker) -> bool:
        """Merge for good the share of a worker in one series. Return True if no other worker has a share.

        On an error, which is counted, the series stays as it was, and all others are merged.
        """
        try:
            return target.retire(worker)
        except Exception as error:  # noqa: BLE001 -- it is logged
            self._own_metrics.count_bad_frame(
                f"cannot merge {target!r} of {worker.name}: {error!r}. It merges its other series."
            )
            return False

    def is_of_one_worker(self, metric: Instrument) -> bool:
        """Whether a series is that of a single worker, in addition to the shared one."""
        return metric in self._own

    def shared(self) -> List[Merged]:
        """Return the shared series, without those of single workers."""
        return [merged for merged in self._registry if isinstance(merged, Merged) and merged not in self._own]

    def merged(self, new: Series, tags: Tags) -> Merged:
        """Return the shared series with these tags for a worker's series. Raises MetricError."""
        merged = self._registry.adopt(_class_of(new)(new.name, tags, new.merge))
        named = self._shared.setdefault(new.name, {})
        if tags not in named:
            named[tags] = merged
            self.count += 1
        return merged

    def overflow_series(self, new: Series) -> Merged:
        """Return the overflow series of this name, which counts towards no limit. Raises MetricError."""
        return self._registry.adopt(_class_of(new)(new.name, OVERFLOW, new.merge))

    def leave_out_kind(self, kind: str, *, is_kept: Optional[bool] = None) -> None:
        """Log, once, that no series of a kind is counted, as nothing here knows what its states mean.

        `is_kept` says whether what a state file has of one stays in it, if it has one.
        """
        if is_kept:
            self._kept_kinds.add(kind)
        if is_kept is False:
            self._omissions.failed(
                f"drops series of unknown kinds, like {kind!r}, from its state: it keeps {MOST_SERIES:,} of them and "
                f"{MOST_BYTES:,} bytes at most."
            )
        if len(self._unknown_kinds) < _UNKNOWN_KINDS:
            stays = "" if is_kept is None else " Until then they stay in its state."
            log_once(
                *(self._unknown_kinds, kind, LOGGER_NAME),
                "The aggregator leaves out all series of the kind %r, which it does not know, and counts everything "
                "else: install the distribution that has the kind where the aggregator runs, and import it there, "
                "unless it has a plugin that provides the kind.%s",
                *(kind, stays),
            )

    def leave_out_unread(self, worker: Worker, targets: Tuple[Target, ...], error: Exception) -> Tuple[Target, ...]:
        """Log, once for its kind, that a state of a series cannot be read, and return what the next one goes into.

        That is what it went into, which goes on showing what it showed. If it showed nothing, the series is left out.
        """
        kind = targets[0].kind
        log_once(
            *(self._unread_kinds, kind, LOGGER_NAME),
            "The aggregator cannot read what %s sends of %r: %r. It leaves out such states of the kind %r, and "
            "counts everything else: install the same version of the distribution that has the kind on both sides.",
            *(worker.name, targets[0], error, str(kind)),
        )
        unused = [target for target in targets if target.is_unused()]
        if targets[0] in unused:
            self._own_metrics.left_out.increment()
        self._remove_unused(unused)
        return tuple([target for target in targets if target not in unused])

    def leave_out(self, worker: Worker, new: Series, reason: str) -> None:
        """Count a series that is left out, and log the first in a row."""
        self._own_metrics.left_out.increment()
        self._omissions.failed(
            f"leaves out {new.name!r} of {worker.name}, and counts its other series, because {reason}"
        )

    def _overflowed_series(self, worker: Worker, new: Series) -> Optional[Overflowed]:
        """Return the part of an overflow series that stands for a series beyond a limit; None if there is room.

        Raises MetricError.
        """
        known = worker.part_of_overflow(new)
        if known is not None:
            return known
        named = self._shared.get(new.name, {})
        if new.tags in named:
            return None
        tag_sets = len(named) - (() in named) - (OVERFLOW in named)
        if self.count >= self._max_series:
            limit = f"{self._max_series:,} series, which is max_series"
        elif tag_sets >= self._most_tag_sets and new.tags not in ((), OVERFLOW):
            limit = f"{tag_sets:,} different tag sets of {new.name!r}, which is max_tag_sets"
        else:
            return None
        of = new
        if not named:
            new = new._replace(name=f"{OVERFLOW_NAME}.{new.kind}", merge="sum")
        self._own_metrics.overflowed.increment()
        if self._own_metrics.overflowed.read(0.0).value == 1:
            logging.getLogger(LOGGER_NAME).warning(
                "The aggregator has %s: the totals of further ones go to series tagged overflow=true.", limit
            )
        return worker.overflow(new.number, self.overflow_series(new), of)

    def _own_series(self, worker: Worker, new: Series, shared: Merged) -> Optional[Merged]:
        """Return the series that shows one worker's share in a shared series.

        None if the program has created a series with these tags itself, or if there is no room.
        """
        known = worker.own.get(shared)
        if known in self._own:
            return known
        if len(self._own) >= self._max_series:
            return None
        made = _class_of(new)(new.name, self._tags_of(worker, new.tags), new.merge)
        own = self._registry.adopt(made)
        if own is not made:
            if own not in self._own:
                return None
            before, _ = self._own[own]
            if before is not worker and self._has_made_room(before, worker):
                self._retire_worker(before)
                own = self._registry.adopt(made)
        self._own[own] = worker, shared
        worker.own[shared] = own
        return own

    def _has_made_room(self, before: Worker, worker: Worker) -> bool:
        """Whether a worker with the same label has left or ended, so that the new one may take its label."""
        one, other = before.hello, worker.hello
        is_reused = bool(one.processes) and one.place == other.place and one.started != other.started
        return before.left or is_reused or self._presence.is_alive(one) is False

    def _tags_of(self, worker: Worker, tags: Tags) -> Tags:
        worker.label = worker.label or self._label(worker)
        return tuple(sorted({"worker": worker.label, **dict(tags)}.items()))

    def _label(self, worker: Worker) -> str:
        """Return a label that is unique among the workers. Containers of one host may have workers of the same name."""
        hello = worker.hello
        label = str(hello.pid) if self._presence.is_near(hello) else worker.name
        for other in list(self._workers.values()):
            if other.label == label and (other.hello.place != hello.place or not hello.processes):
                return f"{label}:{worker.identity.hex()[:6]}"
        return label


def _class_of(new: Series) -> Type[Merged]:
    """Return the class of the merged metric for a series."""
    kind = kind_named(new.kind)
    assert kind is not None, f"{new.kind} has been left out"
    return class_of(kind)
