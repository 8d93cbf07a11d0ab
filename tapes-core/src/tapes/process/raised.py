"""Signals by which a process ends itself: it makes the last reports before.

Some servers handle a signal, shut down, restore what was there before them, and raise the signal again, so that their
parent sees what has ended them. If its default action ends the process, that happens inside the call, and Python runs
no `atexit` functions. So `signal.raise_signal` and `os.kill` are wrapped. No handler is changed, and no signal that
comes from elsewhere. A call that returns has not ended the process, and its reporters go on.
"""

from __future__ import annotations

import os
import signal
from functools import wraps

from tapes.process import termination

_ENDING = frozenset(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
"""The signals that a server raises again. Others, like SIGKILL and SIGABRT, are for an end at once."""

_watched = False


def watch() -> None:
    """Make the last reports before this process, or a forked one, ends itself by a signal."""
    global _watched
    if _watched:
        return
    _watched = True
    raise_signal, kill = signal.raise_signal, os.kill

    @wraps(raise_signal)
    def raise_after_reports(signalnum: int, /) -> None:
        if signalnum not in _ENDING:
            raise_signal(signalnum)
            return
        with termination.prepare_end(signalnum):
            raise_signal(signalnum)

    @wraps(kill)
    def kill_after_reports(pid: int, signal: int, /) -> None:
        if pid != os.getpid() or signal not in _ENDING:
            kill(pid, signal)
            return
        with termination.prepare_default_end(signal):
            kill(pid, signal)

    # Where pickle finds them, for a call in another process; not in the module of C that they come from.
    raise_after_reports.__module__, kill_after_reports.__module__ = signal.__name__, os.__name__
    signal.raise_signal = raise_after_reports
    os.kill = kill_after_reports
