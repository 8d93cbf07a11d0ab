"""The thread that forked this process.

In a child it is the only thread, and looks like the main thread. But the interpreter exits when the real main thread
ends, and a child that another thread forked has none.
"""

from __future__ import annotations

import threading

ended: threading.Event | None = None
"""Set when the thread that forked this process ends. None if that is the main thread of the interpreter."""

_native_id = getattr(threading, "get_native_id", lambda: None)  # not every system has it
_main = getattr(threading.main_thread(), "native_id", None)
_of_thread = threading.local()


class _ThreadEnd:
    """Sets an event when its thread ends, because the thread's local data is freed then."""

    def __init__(self) -> None:
        self.happened = threading.Event()

    def __del__(self) -> None:
        self.happened.set()


def before_fork() -> None:
    """Record, in the forking thread, whether it is the main thread. In the child it always looks like it."""
    _of_thread.is_main = _native_id() == _main


def was_main() -> bool:
    """Return whether the main thread has forked this process. Valid in the child, in its first thread."""
    return bool(getattr(_of_thread, "is_main", True))


def after_fork() -> None:
    """Set up `ended` in the child, in the thread that forked."""
    global ended, _main
    _main = _native_id()
    if ended is not None or not was_main():
        _of_thread.ending = ending = _ThreadEnd()
        ended = ending.happened
