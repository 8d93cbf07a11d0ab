"""Shared timings under schedules that real threads meet too seldom to test."""

from __future__ import annotations

import random
import sys
import threading
from types import FrameType
from typing import Any, List, Set

import pytest

from tapes.recording.core import Core
from tapes.testing import ManualClock
from tests.concurrency.alone import alone
from tests.recording import cores
from tests.recording.cores import Subject

SCHEDULES = 600


def play(core: Core, seed: int, rounds: List[int]) -> str:
    """Let a thread for each of `rounds` enter one timing so often, in an order drawn by `seed`. Return what went wrong.

    Threads change where a Python function is called or a builtin one has returned, as they do in CPython from 3.10.
    """
    draw = random.Random(seed)
    clock = ManualClock(1.0)
    subject = Subject(core, "timer", clock.monotonic)
    timing = subject.buffer.time()
    turns = [threading.Semaphore(0) for _ in rounds]
    playing = set(range(len(rounds)))
    over = threading.Semaphore(0)
    faults: List[str] = []

    def hand_over(player: int) -> None:
        following = draw.choice(sorted(playing))
        if following != player:
            turns[following].release()
            if player in playing:
                turns[player].acquire()

    def player(number: int) -> None:
        def profiled(frame: FrameType, event: str, argument: object) -> None:
            if event in ("call", "c_return") and "/tapes/" in frame.f_code.co_filename.replace("\\", "/"):
                sys.setprofile(None)
                hand_over(number)
                sys.setprofile(profiled)

        turns[number].acquire()
        try:
            for _ in range(rounds[number]):
                sys.setprofile(profiled)
                with timing:
                    pass
                sys.setprofile(None)
        except Exception as error:  # noqa: BLE001 - told to the test
            sys.setprofile(None)
            faults.append(repr(error))
        playing.discard(number)
        if playing:
            hand_over(number)
        else:
            over.release()

    threads = [threading.Thread(target=player, args=(number,)) for number in range(len(rounds))]
    for thread in threads:
        thread.start()
    turns[0].release()
    over.acquire()
    for thread in threads:
        thread.join()
    count = subject.count()
    if count != sum(rounds):
        faults.append(f"{count} durations")
    return f"schedule {seed}: {', '.join(faults)}" if faults else ""


def play_all(core: str, rounds: List[int]) -> List[str]:
    """Play many schedules and return the different faults of them."""
    faults: Set[Any] = {play(cores.named(core), seed, rounds) for seed in range(SCHEDULES)}
    return sorted(faults - {""})


@pytest.mark.parametrize("rounds", [[2, 1], [2, 2, 1]])
def test_no_schedule_of_threads_confuses_a_shared_timing(core: Core, rounds: List[int]) -> None:
    """Wherever threads change while they enter and leave one timing, each leaves what it entered and none raises."""
    assert alone(play_all, core.name, rounds) == []
