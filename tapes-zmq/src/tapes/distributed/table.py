"""What stands behind the table `[aggregator]` of a config: for `tapes.configure()` and the command line."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Iterator, List, Optional

from tapes.config.table import Details
from tapes.distributed import keys
from tapes.distributed.configured import ConfiguredAggregator
from tapes.distributed.rendezvous import meeting_at
from tapes.errors import ReporterError, ReporterOptionError
from tapes.reporting.writable import file_obstacle, folder_obstacle

if TYPE_CHECKING:
    from tapes.config.source import ConfigSource
    from tapes.distributed.member import Member
    from tapes.distributed.onlooker import AggregatorOnlooker
    from tapes.registry import Registry

_NOWHERE = "ipc:///nowhere"  # stands for the address where it does not matter


class Table:
    """The table `[aggregator]` of one config. See `tapes.config.table.AggregatorTable`."""

    def __init__(self, config: ConfigSource) -> None:
        """Check `config`. Raises ConfigError with all its faults."""
        self._aggregator = ConfiguredAggregator(config, address=_NOWHERE, runs=False)

    def member(self, registry: Registry) -> Member:
        """Return the reporter that publishes `registry` from this process to the aggregator."""
        from tapes.distributed.member import Member

        return Member(self._aggregator, registry)

    def onlooker(self, timeout: float) -> AggregatorOnlooker:
        """Return who looks at the aggregator, and waits for each of its answers at most `timeout` seconds."""
        from tapes.distributed.onlooker import AggregatorOnlooker

        return AggregatorOnlooker(self._aggregator, timeout)

    def details(self) -> Details:
        """Return what the config comes to here.

        Relative paths in it are in the folder of its file, so that is the working directory for a moment.
        """
        own = self._aggregator.own
        with _working_in(own.folder):
            aggregator = ConfiguredAggregator(own.config, address=_NOWHERE, runs=False)
        obstacles: List[str] = []
        address, path = own.address, None
        try:
            place = None if own.address else meeting_at(own.config, own.group, make=False)
        except ReporterError as error:
            obstacles.append(f"aggregator: {error}")
        else:
            address = own.address if place is None else place.address
        if own.address and own.address.startswith("ipc://"):
            path = own.address[len("ipc://") :]
        obstacles += _obstacles(path, aggregator.options.get("state_path"), aggregator.options.get("keys"))
        options = {key: value for key, value in aggregator.options.items() if key != "socket_addr"}
        settings = {
            "socket_addr": address,
            "start": "auto" if own.starts else "never",
            "linger": own.linger,
            "interval": own.interval,
            **options,
            **({} if own.trust is None else {"trust": own.trust}),
        }
        return Details(settings, aggregator.checked, (*obstacles, *aggregator.obstacles))


def _obstacles(socket: Optional[str], state: Optional[str], folder: Optional[str]) -> Iterator[str]:
    if folder is not None:
        try:
            keys.of_worker(folder)
        except ReporterOptionError as error:
            if not _has_aggregator_keys(folder):
                yield f"aggregator.{str(error).rstrip('.')}"
    if socket is not None:
        obstacle = folder_obstacle(os.path.dirname(socket))
        if obstacle is not None:
            yield f"aggregator.socket_addr: nobody can listen at {socket!r}: {obstacle}"
    if state is not None:
        # The file is replaced, by one that is written beside it.
        obstacle = file_obstacle(state) or folder_obstacle(os.path.dirname(state))
        if obstacle is not None:
            joint = "" if obstacle.startswith((",", ":")) else ": "
            yield f"aggregator.state_path: the state cannot be kept in {state!r}{joint}{obstacle}"


def _has_aggregator_keys(folder: str) -> bool:
    """Whether this is the host of the aggregator, perhaps without workers."""
    with suppress(ReporterOptionError):
        keys.of_aggregator(folder)
        return True
    return False


@contextmanager
def _working_in(folder: str) -> Iterator[None]:
    try:
        before: Optional[str] = os.getcwd()
    except OSError:  # it was removed
        before = None
    os.chdir(folder)
    try:
        yield
    finally:
        if before is not None:
            os.chdir(before)
