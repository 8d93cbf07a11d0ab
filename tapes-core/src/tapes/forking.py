"""What happens in a child process.

Everything that must not be shared with a parent registers itself here: registries, which start from zero, and then
reporters, which lose their threads and may begin again. Both are held weakly.

The hooks of `os.register_at_fork` do this wherever Python itself forks. uWSGI forks without calling them, so inside
uWSGI `uwsgidecorators.postfork` is used as well. Code that runs where neither is called (a C extension that forks)
compares `os.getpid()` with the pid that it remembers, in its slow paths.
"""

from __future__ import annotations

import os
import sys
import threading  # its own hook has to come before ours, which may start threads
from typing import TYPE_CHECKING, Any, List
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import MutableSet
    from typing import Protocol

    class Forkable(Protocol):
        """Something that has to be told that it now lives in a child process."""

        def after_fork(self) -> None:
            """Let go of all that belongs to the parent. Called once in the child, where only this thread exists."""
            ...


registries: MutableSet[Forkable] = WeakSet()
"""Told first."""

reporters: MutableSet[Forkable] = WeakSet()
"""Told when all registries have been."""

generation = 0
"""How many forks lie between this process and the first one that imported tapes."""

forker_ended: threading.Event | None = None
"""Set when the thread that has forked this process ends. None if it is the main thread of the interpreter, which exits
when it ends; there is none in a child that another thread has forked."""

_pid = os.getpid()
_native_id = getattr(threading, "get_native_id", lambda: None)  # which not every system has
_main = getattr(threading.main_thread(), "native_id", None)
_of_thread = threading.local()
_forking_apart: int | None = None  # the thread that is about to make a child which does something else


def fork_apart() -> int:
    """Fork as `os.fork` does, a child that is not to go on with what this process does.

    Registries begin at zero there, and reporters that run here are stopped there, also those that survive other forks.
    """
    global _forking_apart
    _forking_apart = threading.get_ident()
    try:
        return os.fork()
    finally:
        _forking_apart = None


def is_apart() -> bool:
    """Whether the child in which `after_fork` is under way was made by `fork_apart`."""
    return _forking_apart == threading.get_ident()


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
    """Tell every registry, then every reporter, that this is a child process."""
    global _pid, generation, forker_ended, _main
    _pid = os.getpid()
    generation += 1
    _main = _native_id()
    if forker_ended is not None or not getattr(_of_thread, "is_main", True):
        _of_thread.ending = ending = _Ending()
        forker_ended = ending.happened
    for group in (registries, reporters):
        for member in list(group):
            try:
                member.after_fork()
            except Exception:  # noqa: PERF203  whatever it is, the others have to be told too
                import logging

                logging.getLogger("tapes.forking").exception("%r could not be set up again after a fork.", member)


def after_fork_without_hooks() -> None:
    """Do the same where a server calls this after a fork, unless the hooks of Python have done it already."""
    if os.getpid() != _pid:
        after_fork()


def in_master_of_uwsgi() -> bool:
    """Whether this is the master process of uWSGI, which forks workers, and while other threads run at that.

    A thread that holds the interpreter's lock in that moment holds it in the worker for ever.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    try:
        return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.masterpid() == os.getpid()
    except Exception:  # noqa: BLE001  it is not the module of the server
        return False


def hindrances() -> List[str]:
    """Return a warning, with its remedy, for each setting of the server that delays or loses reports."""
    uwsgi: Any = sys.modules.get("uwsgi")
    found = []
    if getattr(uwsgi, "has_threads", 1) == 0:
        found.append(
            "This uWSGI runs no threads of Python, so reporters are late, and report for sure only at its end. "
            "Add enable-threads = true to its configuration."
        )
    options = getattr(uwsgi, "opt", None)
    if isinstance(options, dict) and options.get("die-on-term"):
        found.append(
            "With die-on-term, uWSGI ends workers that are busy without their last report. Use "
            "hook-master-start = unix_signal:15 gracefully_kill_them_all instead of it in its configuration."
        )
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_child=after_fork)

if "uwsgi" in sys.modules:
    try:
        from uwsgidecorators import postfork  # comes with the server
    except ImportError:
        pass
    else:
        postfork(after_fork_without_hooks)
