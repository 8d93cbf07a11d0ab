"""The thread that has forked this process.

It is the only one there is in a child, and looks like the main thread. But the interpreter exits when the main thread
ends, and there is none in a child that another thread has forked.
"""

from __future__ import annotations

import threading

ended: threading.Event | None = None
"""Set when the thread that has forked this process ends. None if that is the main thread of the interpreter."""

_native_id = getattr(threading, "get_native_id", lambda: None)  # which not every system has
_main = getattr(threading.main_thread(), "native_id", None)
_of_thread = threading.local()


class _Ending:
    """Is thrown away with the thread that it was made for."""

    def __init__(self) -> None:
        self.happened = threading.Event()

    def __del__(self) -> None:
        self.happened.set()


def before_fork() -> None:
    """Note in the thread that forks whether it is the main one: in the child it looks as if it were."""
    _of_thread.is_main = _native_id() == _main


def after_fork() -> None:
    """Note in the child, by the thread that has forked it, when that thread will have ended."""
    global ended, _main
    _main = _native_id()
    if ended is not None or not getattr(_of_thread, "is_main", True):
        _of_thread.ending = ending = _Ending()
        ended = ending.happened
