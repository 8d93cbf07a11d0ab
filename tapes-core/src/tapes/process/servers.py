"""Settings of the server that this process belongs to."""

from __future__ import annotations

import os
import sys
from typing import Any, List, Mapping


def in_master_of_uwsgi() -> bool:
    """Return whether this is the master process of uWSGI, which forks workers while other threads run.

    If another thread holds the interpreter's lock at that moment, the lock stays taken in the worker for ever.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    try:
        return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.masterpid() == os.getpid()
    except Exception:  # noqa: BLE001  a module of that name that is not the server's
        return False


_LOOPS = ("async", "asyncio", "gevent", "greenlet", "ugreen")


def has_own_loop(options: Mapping[str, Any]) -> bool:
    """Return whether uWSGI has these options for requests in a loop, which handles signals by itself."""
    return any(options.get(name) for name in _LOOPS)


def setting_warnings() -> List[str]:
    """Return a warning, with its remedy, for each setting of the server that delays or loses reports."""
    uwsgi: Any = sys.modules.get("uwsgi")
    found = []
    if getattr(uwsgi, "has_threads", 1) == 0:
        found.append(
            "This uWSGI runs no Python threads, so reports come late, or only at its end. Add enable-threads = true "
            "to its configuration."
        )
    options = getattr(uwsgi, "opt", None)
    if isinstance(options, dict) and options.get("die-on-term") and has_own_loop(options):
        found.append(
            "With die-on-term, uWSGI ends busy workers of this loop without their last report. Use hook-master-start = "
            "unix_signal:15 gracefully_kill_them_all instead in its configuration."
        )
    return found
