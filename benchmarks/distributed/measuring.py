"""All that is measured of several processes."""

from __future__ import annotations

from benchmarks.distributed.comparing import ended, reading, recording
from benchmarks.distributed.loading import load
from benchmarks.distributed.pausing import pauses
from benchmarks.distributed.results import Distributed
from benchmarks.distributed.wire import flushes


def measure(quick: bool) -> Distributed:
    """Measure everything, for some minutes or, if it is to be quick, for some seconds each."""
    return Distributed(
        recording=recording(turns=1 if quick else 8, rounds=3 if quick else 10),
        reading=reading(rounds=1 if quick else 5),
        load=load(flushes=3 if quick else 25, different=2 if quick else 8),
        ended=ended([4, 20] if quick else [4, 100, 500, 2_000], rounds=2 if quick else 3),
        flushes=flushes(100 if quick else 10_000),
        pauses=pauses(5 if quick else 30),
    )
