"""The aggregator: a process that merges what workers publish, and reports it."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, TypeVar, Union

from tapes.distributed import addresses, claims
from tapes.distributed import keys as curve
from tapes.distributed.account import Plan, keyed
from tapes.distributed.driving import Change
from tapes.distributed.forked import ForkedProcess
from tapes.distributed.lifetime import Lifetime, OwnLifetime, ResidentLifetime
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.places import MAX_SERIES, MAX_TAG_SETS
from tapes.distributed.presence import LEASE
from tapes.distributed.processes import machine, processes
from tapes.distributed.service import Service, Setup
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterOptionError, ReporterStateError
from tapes.reporting import Reporter
from tapes.reporting import checked as options
from tapes.reporting.reporter import STOP_TIMEOUT

if TYPE_CHECKING:
    from types import TracebackType

Self = TypeVar("Self", bound="RegistryAggregator")


class RegistryAggregator:
    """Merges the registries of all workers that publish to `socket_addr`, and runs reporters on the result.

    Start it before you fork workers: `start()` forks a process for it, which ends with the process that started it.
    `start(fork=False)` runs it in this process, and blocks; `python -m tapes.distributed` does that from a config.

    Workers may come and go at any time. What they have counted stays; their gauges go with them. When an aggregator was
    killed and is started again, live workers publish everything to it again. With `state_path` it also keeps what
    workers that are gone had counted.
    """

    def __init__(
        self,
        reporter: Union[Reporter, Sequence[Reporter]],
        socket_addr: str = addresses.DEFAULT,
        *,
        state_path: Optional[Union[str, os.PathLike[str]]] = None,
        by_worker: bool = False,
        lease: float = LEASE,
        max_series: int = MAX_SERIES,
        max_tag_sets: int = MAX_TAG_SETS,
        keys: Optional[Union[str, os.PathLike[str]]] = None,
        insecure: bool = False,
        group: Optional[Union[str, int]] = None,
        mode: Optional[int] = None,
    ) -> None:
        """Report by `reporter`, one or a list; none may be running. They are set to report on `registry`.

        `socket_addr` is `ipc://PATH` or `tcp://HOST:PORT`, with `*` for all addresses of the host. `state_path` is a
        file that keeps the counts over a restart. With `by_worker` each live worker is also shown on its own, tagged
        `worker=PID` (`worker=HOST:PID` on other hosts). `lease` is how many seconds the gauges of a silent worker
        count. `max_series` limits the series over all workers, `max_tag_sets` those of one name; the totals of further
        ones go to series tagged `overflow=true`. For `tcp://`, `keys` is a folder with the keys of the aggregator and
        the public keys of the workers; `insecure=True` lets everybody in. The file of an `ipc://` address is private to
        the user. With `group`, a name or a number, processes of that group can connect too; `mode` sets the mode of the
        file itself.

        Raises ReporterOptionError for invalid options.
        """
        reporters: Any = [reporter] if isinstance(reporter, Reporter) else reporter
        if (
            not isinstance(reporters, Sequence)
            or isinstance(reporters, (str, bytes))
            or not all(isinstance(each, Reporter) for each in reporters)
        ):
            raise options.refusal("reporter", "a reporter or a list of reporters", reporter)
        lease = options.seconds("lease", lease)
        options.flag("by_worker", by_worker)
        for option, most in (("max_series", max_series), ("max_tag_sets", max_tag_sets)):
            options.integer(option, most, 1, sys.maxsize, "how many series there may be, an int from 1")
        self.reporters: Tuple[Reporter, ...] = tuple(reporters)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """The address that workers publish to."""
        self._access = addresses.access(self.address, group, mode)
        self.registry = UnifiedRegistry(
            lease=lease, by_worker=by_worker, max_series=max_series, max_tag_sets=max_tag_sets
        )
        """The merged metrics of all workers. Filled in the process of the aggregator only."""
        # An aggregator that this one publishes to must take a successor for the same worker, so the identity follows
        # from the place. After a reboot it comes from the state file, if there is one.
        place = f"{machine()} {processes()} {socket.gethostname()} {self.address}"  # differs between containers
        self.registry.identity = hashlib.sha256(place.encode()).digest()[:16]
        self._keys_folder = None if keys is None else os.path.abspath(os.fspath(keys))
        self._keys = None if keys is None else self._first_keys(keys)
        self._state_path = None if state_path is None else os.path.abspath(options.path("state_path", state_path))
        self._here = OwnLifetime()
        self._child: Optional[ForkedProcess] = None
        self._service: Optional[Service] = None

    @property
    def pid(self) -> Optional[int]:
        """The pid of the process that `start()` forked; None if it does not run, or runs in this process."""
        child = self._child
        return child.pid if child is not None and child.running else None

    def start(self, fork: bool = True) -> None:
        """Start to merge and report, in a forked process. With `fork=False` do so in this process until stopped.

        Returns when workers can connect and the reporters have started. If an aggregator of this program, or of the
        program that started it, holds the address, it returns and stands by: it takes over when that one leaves.

        With `fork=False` it returns at its end, by `stop()` in another thread, SIGTERM or Ctrl-C, after the last report
        of each reporter. It also ends so when an error keeps it from taking in what workers send; that error is raised,
        or logged by the forked process.

        Raises ReporterStateError if it is running, ReporterError if an aggregator of another program holds the address
        or the state file cannot be used, and any error that a reporter's `start()` raises.
        """
        if self._service is not None or self.pid is not None:
            raise ReporterStateError(f"{self!r} is running already: stop() it before you start it again.")
        for reporter in self.reporters:
            if reporter.running:
                raise ReporterStateError(f"{reporter!r} is running: stop() it before it is given to an aggregator.")
        self._here = OwnLifetime()
        program = claims.Program.here(frozenset(ForkedProcess.pids))
        if fork:
            self._child = ForkedProcess(lambda ready, lifetime: self._serve(program, ready, lifetime))
            self._child.wait_until_ready()
            return
        with self._here:
            self._serve(program, lambda: None, self._here)

    def reside(self, lifetime: ResidentLifetime, ready: Callable[[], None], *, passes_on: bool) -> bool:
        """Merge and report in this process, which belongs to nobody, until `lifetime` ends it.

        With `passes_on` the state file is only for an aggregator that takes its place after a crash. Returns whether
        something came after the last report: another one has to take its place then, and report that.

        Calls `ready` once workers can connect, and maybe again. Raises `claims.TakenError` if another aggregator holds
        the address.
        """
        lifetime.handle_signals()
        return self._serve(claims.Program.here(), ready, lifetime, passes_on=passes_on)

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Let it take in what workers still send, report once more and end. Waits at most `timeout` seconds.

        A process that takes longer is killed, with a log line. Does nothing if it is not running.
        """
        child, self._child = self._child, None
        if child is not None:
            child.stop(timeout, repr(self))
        self._here.stop()

    def __enter__(self: Self) -> Self:
        """Start, in a forked process."""
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Stop."""
        self.stop()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.reporters)}, socket_addr={self.address.text!r})"

    def reload(self) -> Change:
        """Read the keys again, in the process of the aggregator. Called on SIGHUP.

        Workers whose key is gone are disconnected. If the keys cannot be used it keeps those that it has, and logs
        that. Returns the reporters to stop and to start.
        """
        if self._keys_folder is not None and self._service is not None:
            try:
                self._keys = curve.of_aggregator(self._keys_folder)
            except (ReporterOptionError, OSError) as error:
                import logging

                logging.getLogger(LOGGER_NAME).error("The aggregator at %s keeps its old keys: %s", self.address, error)
            else:
                self._service.use_keys(self._keys)
        return Change()

    def _first_keys(self, folder: Union[str, os.PathLike[str]]) -> Optional[curve.AggregatorKeys]:
        """Return its keys. Raises ReporterOptionError if they cannot be used."""
        return curve.of_aggregator(folder)

    def _plan(self) -> Plan:
        """Return what it is to do, for the account that it gives of itself."""
        return Plan(keyed(self.reporters))

    def _serve(
        self, program: claims.Program, ready: Callable[[], None], lifetime: Lifetime, *, passes_on: bool = False
    ) -> bool:
        """Merge and report until asked to end. Calls `ready` once it works or stands by.

        Returns whether something came after the last report.
        """
        place = Setup(
            self.address, self._access, self._state_path, program, isinstance(lifetime, ResidentLifetime), passes_on
        )
        self._service = service = Service(self.registry, self.reporters, place, self._keys, lifetime, self._plan)
        try:
            service.run(ready, self.reload)
            return service.came_late
        finally:
            self._service = None
