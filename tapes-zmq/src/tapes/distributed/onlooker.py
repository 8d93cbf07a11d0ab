"""Looks at an aggregator from a process that is no worker: it starts, locks, changes and removes nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Mapping, Optional, Tuple

from tapes.config.source import is_disabled
from tapes.config.table import Figures, ReporterStatus, Status
from tapes.distributed import files, handover, rendezvous, trust
from tapes.distributed.account import KEYS, PATH
from tapes.distributed.asking import page_at
from tapes.distributed.claims import holder_of, is_held
from tapes.distributed.diagnosis import Evidence, of_reporters, problems
from tapes.distributed.lifetime import version_of
from tapes.distributed.processes import state_of
from tapes.distributed.rendezvous import Rendezvous
from tapes.errors import ReporterError
from tapes.reporting.writable import user

if TYPE_CHECKING:
    from tapes.distributed.configured import ConfiguredAggregator

_TAIL = 1 << 16  # bytes at the end of a log that are read
_LINES = 5  # of them, at most
_WARNING = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ (?:WARNING|ERROR|CRITICAL) ")
_TCP = re.compile(r"tcp://\[?(?P<host>[^\]]+)\]?:(?P<port>\d+)")


class _OtherVersionError(ReporterError):
    """The aggregator is of a version that answers in another way."""


class AggregatorOnlooker:
    """Looks at the aggregator of one config. See `tapes.config.table.Onlooker`."""

    def __init__(self, aggregator: ConfiguredAggregator, timeout: float) -> None:
        """Look at the one that is configured like `aggregator`, which is never started."""
        self._source = aggregator.source
        self._own = aggregator.own
        self._timeout = timeout

    def get_stats(self) -> Dict[str, Any]:
        """Return the statistics of all processes, as a tree. Raises ReporterError if no aggregator can be reached."""
        address, path = self._place()
        if path is None:
            raise ReporterError(
                f"The aggregator at {address} cannot be asked over tcp://: give the URL of the page of one of its "
                "reporters."
            )
        try:
            stats = self._asked(Rendezvous(path), "/format/json")
        except ReporterError as error:
            raise ReporterError(
                f"No aggregator answers at {address}: {str(error).rstrip('.')}. To see what is wrong: "
                f"python -m tapes status{f' {self._file}' if self._file else ''}"
            ) from error
        return stats

    def status(self) -> Status:
        """Return what is there."""
        try:
            address, path = self._place()
        except ReporterError as error:
            evidence = Evidence(self._file, "nowhere", None, str(error), user=user())
            return self._status(evidence, None, "not running")
        if path is None:
            return self._status_over_network(address)
        at = Rendezvous(path)
        said: Optional[Dict[str, Any]] = None
        fault = barred = None
        is_other = False
        try:
            said = self._account(at)
        except _OtherVersionError as error:
            fault, is_other = str(error), True
        except ReporterError as error:
            fault = str(error).rstrip(".") if os.path.lexists(at.page) else "it serves no pages yet"
            barred = self._barred(at)
        held = said is not None or is_other or is_held(at.lock)
        holder = holder_of(at.lock)
        pid = said["pid"] if said is not None else None if holder is None else holder.pid
        lines, age = _warnings(at.log)
        waiting, waited = _waiting(at.socket)
        left_over = () if held else tuple(each for each in (at.socket, at.lock, at.page) if os.path.lexists(each))
        evidence = Evidence(
            *(self._file, address, path),
            starts=self._own.starts,
            linger=self._own.linger,
            user=user(),
            held=held,
            pid=pid,
            leaving=said is None and holder is not None and not holder.program,
            process_state=state_of(pid) if held and pid is not None else "",
            fault=fault,
            is_other=is_other,
            barred=barred,
            owner=_owner(at.socket) if barred else None,
            left_over=left_over,
            waiting=waiting,
            waited=waited,
            others=self._others() if not held else (),
            has_changed=said is not None
            and said["config_version"] is not None
            and tuple(said["config_version"]) != version_of(self._file),
            disabled=is_disabled(),
            log=at.log,
            log_lines=lines,
            log_age=age,
        )
        return self._status(evidence, said, "runs" if said is not None else "hangs" if held else "not running")

    @property
    def _file(self) -> Optional[str]:
        config = self._own.config
        return config if isinstance(config, str) else None

    def _place(self) -> Tuple[str, Optional[str]]:
        """Return the address, and the path of its socket if it has one. Raises ReporterError if there can be none."""
        address = self._own.address
        if address is None:
            at = rendezvous.meeting_at(self._own.config, self._own.group, make=False)
            return at.address, at.socket
        return address, address[len("ipc://") :] if address.startswith("ipc://") else None

    def _asked(self, at: Rendezvous, path: str) -> Dict[str, Any]:
        """Return a JSON document of the aggregator. Raises ReporterError if there is none."""
        page = page_at(at.page, path, {}, self._trusted(at.page), self._timeout)
        if page.status is not HTTPStatus.OK:
            raise _OtherVersionError(f"it answers {path} with {page.status.value} {page.status.phrase}")
        try:
            found = json.loads(page.body or b"")
        except (ValueError, RecursionError) as error:
            raise ReporterError(f"its answer is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise _OtherVersionError(f"it answers {path} with {type(found).__name__}")
        return found

    def _account(self, at: Rendezvous) -> Dict[str, Any]:
        """Return what the aggregator says of itself. Raises ReporterError if it says nothing that can be used."""
        said = self._asked(at, PATH)
        missing = [key for key in KEYS if key not in said]
        if missing:
            raise _OtherVersionError(f"it does not say {', '.join(missing)}")
        if not _is_readable(said):
            raise _OtherVersionError("what it says of itself has another form")
        return said

    def _trusted(self, path: str) -> FrozenSet[int]:
        """Return the users whose socket may be asked. Root may ask all: nothing is published, and it reads only."""
        if self._own.group is not None:
            return trust.EVERYBODY  # who is in its folder
        trusted = trust.users(self._own.trust)
        if os.geteuid() == 0:
            with suppress(OSError):
                return trusted | {os.lstat(path).st_uid}
        return trusted

    def _barred(self, at: Rendezvous) -> Optional[str]:
        """Return why this user may not connect; None if it may, or there is nothing to connect to."""
        for path in (at.socket, at.page):
            if os.path.lexists(path) or not _can_look(os.path.dirname(path)):
                fault = trust.socket_fault(path, self._trusted(path))
                if fault is not None:
                    return fault.rstrip(".")
        return None

    def _others(self) -> Tuple[str, ...]:
        if self._own.address is not None or self._own.group is not None:
            return ()
        owners = (_owner(path) for path in rendezvous.others_at(self._own.config))
        return tuple(sorted({owner for owner in owners if owner is not None}))

    def _status_over_network(self, address: str) -> Status:
        found = _TCP.fullmatch(address)
        fault = None
        if found is not None:
            try:
                host = found["host"].replace("*", "127.0.0.1")
                socket.create_connection((host, int(found["port"])), self._timeout).close()
            except OSError as error:
                fault = error.strerror or str(error)
        evidence = Evidence(self._file, address, None, user=user(), fault=fault)
        return self._status(evidence, None, "not running" if fault else "unknown")

    def _status(self, evidence: Evidence, said: Optional[Mapping[str, Any]], state: str) -> Status:
        figures = None if said is None else _figures(said)
        found = problems(evidence, said)
        if figures is not None:
            found = [*of_reporters(figures.reporters), *found]
        return Status(
            *(self._source, evidence.address, state),
            pid=evidence.pid if evidence.held else None,
            age=None if said is None else said["age"],
            version=None if said is None else said["version"],
            figures=figures,
            log=evidence.log,
            log_lines=evidence.log_lines,
            problems=tuple(found),
        )


def _is_readable(said: Mapping[str, Any]) -> bool:
    """Whether an account has the form that this version gives it: all that is made of it can be made."""
    try:
        problems(Evidence(None, "", None), said)
        version = said["config_version"]
        parts = [*_figures(said).losses.values(), *([] if version is None else version), said["pid"]]
        parts += [said[key] for key in ("age", "workers", "lag", "staleness", "series", "lease")]
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return all(isinstance(part, (int, float)) for part in parts)


def _figures(said: Mapping[str, Any]) -> Figures:
    reporters = tuple(ReporterStatus(**each) for each in said["reporters"])
    return Figures(
        *(said["workers"], said["lag"], said["staleness"], said["series"]), losses=said["losses"], reporters=reporters
    )


def _can_look(folder: str) -> bool:
    return os.access(folder, os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _owner(path: str) -> Optional[str]:
    """Return the user whose file this is, unless it is this one."""
    with suppress(OSError):
        status = os.lstat(path)
        return files.owner(status) if files.is_foreign(status) else None
    return None


def _waiting(path: str) -> Tuple[int, float]:
    """Return the number of last reports that wait in files, and for how many seconds the oldest does."""
    times = []
    for each in handover.names(path):
        with suppress(OSError):
            times.append(os.lstat(each).st_mtime)
    return len(times), max(time.time() - min(times), 0.0) if times else 0.0


def _warnings(path: str) -> Tuple[Tuple[str, ...], float]:
    """Return the last warnings and errors in a log, and the seconds since the last one."""
    try:
        with open(files.opened(path, os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - _TAIL, 0))
            content = file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return (), 0.0
    found: List[Tuple[str, str]] = []
    for line in content.splitlines():
        match = _WARNING.match(line)
        if match is not None:
            found.append((match["time"], line))
    if not found:
        return (), 0.0
    with suppress(ValueError, OverflowError):
        then = time.mktime(time.strptime(found[-1][0], "%Y-%m-%d %H:%M:%S"))
        return tuple(line for _, line in found[-_LINES:]), max(time.time() - then, 0.0)
    return tuple(line for _, line in found[-_LINES:]), 0.0
