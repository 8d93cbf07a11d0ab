"""The metrics and logs of an aggregator about itself: what it receives, and whether it keeps up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Callable, Dict, Optional

from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.presence import UNKNOWN
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.distributed.presence import Presence
    from tapes.distributed.workers import Worker
    from tapes.registry import Registry

_CALM = 60.0  # seconds without a bad frame after which the next one is logged
_LATE = 5.0  # seconds by which states may be older than the lease, and for which that may last before it is logged

REFUSED = "tapes.aggregator.refused"
"""The counter of refused connections, by the tag `why`."""


class OwnMetrics:
    """The metrics `tapes.aggregator.*` of a registry, but for those of refused connections."""

    def __init__(
        self, registry: Registry, workers: Dict[bytes, Worker], presence: Presence, shared: Callable[[], int]
    ) -> None:
        """Create the metrics. `shared` returns the number of series that workers share."""
        self._clock = registry.clock
        self._workers = workers
        self._presence = presence
        self._bad = Streak(LOGGER_NAME, "The aggregator")
        self._bad_at = 0.0
        self.last_bad_frame: Optional[str] = None
        """What was wrong with the last bad frame."""
        self._late = Streak(LOGGER_NAME, "The aggregator")
        self._late_since = math.inf
        self.messages = registry.counter("tapes.aggregator.messages")
        self.bad_frames = registry.counter("tapes.aggregator.bad_frames")
        self.gaps = registry.counter("tapes.aggregator.gaps")
        self.left_out = registry.counter("tapes.aggregator.left_out")
        self.overflowed = registry.counter("tapes.aggregator.overflowed")
        self._shared = shared
        registry.gauge("tapes.aggregator.series", shared)
        registry.gauge("tapes.aggregator.workers", self._present)
        registry.gauge("tapes.aggregator.lag", self._lag, merge="max")
        registry.gauge("tapes.aggregator.staleness", self._staleness, merge="max")

    def end_streak(self, now: float) -> None:
        """Log the next bad frame again, if there was none for a while."""
        if now - self._bad_at > _CALM:
            self._bad.succeeded()

    def restart_lateness(self) -> None:
        """Start again to measure how long workers are late."""
        self._late_since = math.inf

    def count_bad_frame(self, problem: str) -> None:
        """Count a bad frame, and log the first in a row."""
        self.bad_frames.increment()
        self._bad_at = self._clock.monotonic()
        self.last_bad_frame = problem
        self._bad.failed(problem)

    def since_bad_frame(self) -> Optional[float]:
        """Return the seconds since the last bad frame; None if there was none."""
        return None if self.last_bad_frame is None else self._clock.monotonic() - self._bad_at

    def figures(self) -> Dict[str, float]:
        """Return the values of the gauges, and the lease."""
        return {
            "workers": self._present(),
            "lag": self._lag(),
            "staleness": self._staleness(),
            "series": self._shared(),
            "lease": self._presence.lease,
        }

    def losses(self, registry: Registry) -> Dict[str, int]:
        """Return the values of the counters of what was not taken in as it came."""
        own = {"bad_frames": self.bad_frames, "gaps": self.gaps, "left_out": self.left_out}
        found = {**own, "overflowed": self.overflowed}
        refused = [metric.read(0.0).value for metric in registry if metric.name == REFUSED]
        return {**{name: metric.read(0.0).value for name, metric in found.items()}, "refused": sum(refused)}

    def check_lateness(self, now: float) -> None:
        """Log, once, when the states of a live worker are far older than they should be."""
        late = [
            worker
            for worker in self._workers.values()
            if now - worker.complete > self._presence.lease_of(worker) + _LATE
        ]
        late = [worker for worker in late if worker.present and worker.hello is not UNKNOWN]
        self._late_since = min(self._late_since, now) if late else math.inf
        if now - self._late_since >= _LATE:
            oldest = min(late, key=lambda worker: worker.complete)
            self._late.failed(
                f"does not keep up with {len(late)} of {len(self._workers)} workers: the data of {oldest.name} is "
                f"{now - oldest.complete:.0f} s old. No total is lost, but rates and windows are wrong. Let workers "
                "publish less often (interval) or have fewer series, or give groups of workers an aggregator each."
            )
        elif not late:
            self._late.succeeded()

    def _present(self) -> int:
        return sum(worker.present and worker.has_recorded for worker in list(self._workers.values()))

    def _staleness(self) -> float:
        now = self._clock.monotonic()
        return max([now - each.complete for each in list(self._workers.values()) if each.present], default=0.0)

    def _lag(self) -> float:
        return max([worker.lag for worker in list(self._workers.values()) if worker.present], default=0.0)
