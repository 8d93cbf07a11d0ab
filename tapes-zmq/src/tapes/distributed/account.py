"""The account that an aggregator gives of itself, as one JSON document, to those who look at it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from tapes.pages.message import Page
from tapes.reporting.trouble import explained
from tapes.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tapes.distributed.unified import UnifiedRegistry
    from tapes.pages.message import Headers
    from tapes.reporting import Reporter
    from tapes.snapshot import Snapshot

PATH = "/status"
"""The path of the document on the socket of the pages."""

KEYS = (
    *("pid", "age", "version", "resident", "workers", "lag", "staleness", "series", "lease", "losses"),
    *("last_bad_frame", "since_bad_frame", "reporters", "config_version", "needs_restart", "config_fault"),
)
"""The keys of the document."""

REPORTS, FAILS, NOT_STARTED = "reports", "fails", "not started"
"""The states of a reporter."""


class Plan(NamedTuple):
    """What an aggregator is to do, and what keeps it from following its configuration."""

    reporters: Mapping[str, Reporter]
    """Its reporters, by their keys in the configuration."""
    version: Optional[Tuple[int, int, int]] = None
    """What `lifetime.version_of` has returned for the file of the configuration when it was read."""
    needs_restart: Tuple[str, ...] = ()
    """The keys of `[aggregator]` that have changed, and hold from the next start on."""
    fault: Optional[str] = None
    """Why the file, which has changed, is not followed."""


def account(
    registry: UnifiedRegistry, plan: Plan, unstarted: Mapping[Reporter, str], since: float, *, resident: bool
) -> Dict[str, Any]:
    """Return the document. `unstarted` has the reporters that could not start, with the error of each."""
    own = registry.own_metrics
    return {
        "pid": os.getpid(),
        "age": time.monotonic() - since,
        "version": VERSION,
        "resident": resident,
        **own.figures(),
        "losses": own.losses(registry),
        "last_bad_frame": own.last_bad_frame,
        "since_bad_frame": own.since_bad_frame(),
        "reporters": [_state(key, each, unstarted.get(each)) for key, each in plan.reporters.items()],
        "config_version": plan.version,
        "needs_restart": plan.needs_restart,
        "config_fault": plan.fault,
    }


class AccountRoute:
    """Shows the account."""

    def __init__(self, account: Callable[[], Dict[str, Any]]) -> None:
        self._account = account

    def variant(self, headers: Headers) -> Hashable:
        """Return None: it is the same for all."""
        return None

    def page(self, snapshot: Snapshot, variant: Hashable) -> Page:
        """Return the document of this moment."""
        return Page("application/json", json.dumps(self._account()).encode())


def _state(key: str, reporter: Reporter, unstarted: Optional[str]) -> Dict[str, Any]:
    error = reporter.last_error
    said = None if error is None else explained(error) or f"{type(error).__name__}: {error}"
    state = REPORTS if unstarted is None else NOT_STARTED
    return {
        "key": key,
        "what": repr(reporter),
        "state": FAILS if state == REPORTS and reporter.failing else state,
        "reports": reporter.reports,
        "failures": reporter.failures,
        "last_error": unstarted if said is None else said,
    }


def keyed(reporters: Tuple[Reporter, ...]) -> Dict[str, Reporter]:
    """Return reporters that have no keys by their positions, from 1."""
    found: List[Tuple[str, Reporter]] = [(str(number), each) for number, each in enumerate(reporters, 1)]
    return dict(found)
