"""What holds for all tests, and what they share."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Callable, Iterator

import pytest
from hypothesis import settings

# A machine that many share stalls now and then, which says nothing about the code: examples have no deadline.
settings.register_profile("any machine", deadline=None, print_blob=True)
settings.load_profile("any machine")

# A shell starts what runs in its background with Ctrl-C ignored, and whatever the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # which nohup has ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

PATIENCE = 60.0
"""Seconds within which everything has to happen that is waited for. Generous: machines are busy."""

Until = Callable[[Callable[[], object]], None]
RunScript = Callable[..., "subprocess.CompletedProcess[str]"]


LATE = 5.0
"""Seconds for which the threads that a test has left are waited for. One that hangs by intent may take longer."""


@pytest.fixture(autouse=True)
def _threads_end_with_their_test() -> Iterator[None]:
    """Wait for what is about to end: what it logs and closes as the last thing is no matter of the next test."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LATE
    while any(thread.name.startswith("tapes-") for thread in set(threading.enumerate()) - before):
        if time.monotonic() > deadline:
            return
        time.sleep(0.002)


@pytest.fixture
def collector() -> Iterator[None]:
    """Let CPython look for garbage as often as most versions do, and 3.13 less often."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


@pytest.fixture
def only_new_objects() -> Iterator[None]:
    """Let CPython count and look at those objects only that are made from now on, which takes next to no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def until() -> Until:
    """Wait until something is true; fail if it does not become so."""

    def wait(happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, "It has not happened."
            time.sleep(0.005)

    return wait


@pytest.fixture
def run_script() -> RunScript:
    """Run a script in an interpreter of its own, and return what it wrote."""

    def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script), *args],
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            check=False,
        )

    return run
