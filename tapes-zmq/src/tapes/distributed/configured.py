"""An aggregator that is configured by a config, and reloads it on request."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from tapes.config.checking import check
from tapes.config.options import Options, quoted_with_type
from tapes.config.source import VARIABLE, ConfigSource, read
from tapes.distributed import addresses, files
from tapes.distributed.account import Plan
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.driving import Change, needs_a_loop
from tapes.distributed.lifetime import version_of
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.rendezvous import meeting_at
from tapes.distributed.trust import Trust, users
from tapes.errors import ConfigError, ReporterOptionError, TapesError
from tapes.reporting import checked

if TYPE_CHECKING:
    from tapes.config.table import CheckedReporter
    from tapes.distributed.keys import AggregatorKeys
    from tapes.reporting import Reporter

_KEYS = "keys"  # the one option that can change while the aggregator runs


LINGER = 10.0
"""Seconds for which an aggregator that a worker has started stays without any worker, by default."""


class Own(NamedTuple):
    """What the table `[aggregator]` says beside the options of the aggregator."""

    config: Union[str, Mapping[str, object]]
    """The absolute path of the file, or the tables."""
    name: str
    """The name of the configuration in messages."""
    folder: str
    """The folder that relative paths are in: that of the file, else the working directory."""
    address: Optional[str]
    """The address, if one is given."""
    group: Optional[int]
    """The number of the group whose users meet, if there is no address."""
    trust: Trust
    """Other users whose aggregator a worker publishes to."""
    starts: bool
    """Whether whoever comes first starts the aggregator."""
    keeps_state: bool
    """Whether it says where the state is kept, which then outlives the aggregator."""
    linger: float
    interval: float
    """Seconds between two flushes of a worker."""


class ConfiguredAggregator(RegistryAggregator):
    """An aggregator with the options and reporters of a config."""

    def __init__(
        self,
        config: ConfigSource = None,
        *,
        address: Optional[str] = None,
        state_path: Optional[str] = None,
        runs: bool = True,
    ) -> None:
        """Read `config`, a path or a mapping (default: the file that TAPES_CONFIG names). Starts nothing.

        `address` and `state_path` are for a config that has none. Without an address it is the one at which the
        processes of this user meet for this config: see `rendezvous`. With `runs=False` it is for a process that never
        runs it, and needs no keys of an aggregator.

        Raises ConfigError with all faults.
        """
        self._runs = runs
        self._config = config
        self._file = None if isinstance(config, Mapping) else os.path.abspath(config or os.environ.get(VARIABLE, ""))
        self._version = version_of(self._file)
        source = read(config)
        self.source = source.name
        """The name of the config in messages."""
        table = dict(source.table)
        faults: List[str] = []
        self.own, self.options = _options(config, source.name, table.pop("aggregator", {}), faults)
        """The options of the aggregator as the config says, with its paths made absolute."""
        self._made: Dict[str, Reporter] = {}
        """The reporters, by key in the config."""
        self._tables: Mapping[str, object] = {}
        """The options of each reporter, by key."""
        self.checked: Tuple[CheckedReporter, ...] = ()
        """The reporters, as the config has them."""
        self.obstacles: Tuple[str, ...] = ()
        """What would keep reporters from starting here and now, each with the key of the reporter."""
        self._needs_restart: Tuple[str, ...] = ()
        self._fault: Optional[str] = None
        try:
            found = check({"reporters": {}, **table}, tolerant=True)
        except ConfigError as error:
            faults += error.faults
        else:
            self.checked, self.obstacles = found.reporters, found.obstacles
            self._made = {each.key: each.reporter for each in found.reporters}
            reporters: Any = table.get("reporters", {})
            self._tables = reporters
        if not faults:
            try:
                group = self.own.group
                if "socket_addr" not in self.options:
                    self.options["socket_addr"] = address or meeting_at(self.own.config, group).address
                if state_path is not None:
                    self.options.setdefault("state_path", state_path)
                options = dict(self.options)
                if group is not None:
                    del options["group"]  # a process that is not in it says so where it would meet the others
                super().__init__(list(self._made.values()), **options)
                if group is not None:
                    self._access = addresses.Access(files.SHARED, group)
            except TapesError as error:
                faults.append(f"aggregator: {error}")
        if faults:
            raise ConfigError(source.name, faults)

    def reload(self) -> Change:
        """Read the config and the keys again. Reporters whose tables have not changed go on.

        On any fault nothing changes, and the fault is logged. Changes that need a restart are logged too.
        """
        try:
            new = ConfiguredAggregator(
                self._config, address=self.options["socket_addr"], state_path=self.options.get("state_path")
            )
        except (TapesError, OSError) as error:
            why = f"{error.source}: {'; '.join(error.faults)}" if isinstance(error, ConfigError) else str(error)
            self._version, self._fault = version_of(self._file), " ".join(why.split()).rstrip(".")
            self._say(
                "The aggregator keeps its old config, reporters and keys, because of "
                f"{self._fault}. Fix that, and send SIGHUP again."
            )
            return Change()
        self._version, self._fault = new._version, None
        changed = {name for name in {*self.options, *new.options} if self.options.get(name) != new.options.get(name)}
        if self._keys_folder is not None and new._keys_folder is not None:
            changed.discard(_KEYS)
            self._keys_folder = new._keys_folder
        self._needs_restart = tuple(sorted(changed))
        if changed:
            self._say(
                f"{self.source}: restart the aggregator to change {', '.join(sorted(changed))} in [aggregator]. They "
                "stay as they were until then."
            )
        super().reload()
        return self._follow(new)

    def _first_keys(self, folder: Union[str, os.PathLike[str]]) -> Optional[AggregatorKeys]:
        return super()._first_keys(folder) if self._runs else None

    def _plan(self) -> Plan:
        return Plan(dict(self._made), self._version, self._needs_restart, self._fault)

    def _follow(self, new: ConfiguredAggregator) -> Change:
        """Adopt the reporters of `new`, but keep running ones whose tables are the same."""
        running = {key for key, reporter in self._made.items() if reporter.running}
        same = {key for key, table in new._tables.items() if key in running and self._tables.get(key) == table}
        begins = {key: reporter for key, reporter in new._made.items() if key not in same}
        if needs_a_loop(begins.values()) and not needs_a_loop(self.reporters):
            self._say(
                f"{self.source}: restart the aggregator to add its first reporter of Tornado. All reporters stay as "
                "they were until then."
            )
            return Change()
        ends = tuple(reporter for key, reporter in self._made.items() if key not in same)
        self._made = {key: self._made[key] if key in same else reporter for key, reporter in new._made.items()}
        self._tables = new._tables
        self.reporters = tuple(self._made.values())
        return Change(ends, tuple(begins.values()))

    def _say(self, what: str) -> None:
        import logging

        logging.getLogger(LOGGER_NAME).error("%s", what)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.sep


def _plain(value: object) -> Union[str, float]:
    """Return an option as a config file would have it."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return os.fspath(value)  # type: ignore[no-any-return]  # a str, mostly
    raise TypeError(f"{quoted_with_type(value)} stands in no config file")


def _options(config: ConfigSource, name: str, table: object, faults: List[str]) -> Tuple[Own, Dict[str, Any]]:
    """Return what the table `[aggregator]` says: for whoever starts the aggregator, and for itself."""
    if not isinstance(table, Mapping):
        faults.append(f"aggregator: {quoted_with_type(table)} is not a table")
        table = {}
    if isinstance(config, Mapping):
        folder = _working_directory()
        try:
            identity: Union[str, Mapping[str, object]] = json.loads(json.dumps(config, default=_plain))
        except (TypeError, ValueError) as error:
            faults.append(f"aggregator: the configuration cannot be given to another process: {error}")
            identity = {}
    else:
        identity = os.path.abspath(config if config is not None else os.environ.get(VARIABLE, ""))
        folder = os.path.dirname(identity)
    rest = dict(table)
    start = rest.pop("start", "auto")
    if start not in ("auto", "never"):
        faults.append(
            f"aggregator.start: {quoted_with_type(start)} is neither 'auto' (whichever process comes first starts the "
            "aggregator) nor 'never' (somebody else does)"
        )
    seconds = {"linger": LINGER, "interval": 1.0}
    for key, default in seconds.items():
        try:
            seconds[key] = checked.seconds(key, rest.pop(key, default))
        except ReporterOptionError as error:  # noqa: PERF203 -- there are two
            faults.append(f"aggregator.{key}: {error}")
    trusted: Any = rest.pop("trust", None)
    try:
        users(trusted)
    except ReporterOptionError as error:
        faults.append(f"aggregator.trust: {error}")
    arguments, found = Options(RegistryAggregator).check(rest, "aggregator")
    faults += found
    for key in ("keys", "state_path"):
        if arguments.get(key):
            arguments[key] = os.path.join(folder, str(arguments[key]))
    address: Any = arguments.get("socket_addr")
    if isinstance(address, str) and address.startswith("ipc://") and len(address) > len("ipc://"):
        arguments["socket_addr"] = "ipc://" + os.path.join(folder, address[len("ipc://") :])
        address = arguments["socket_addr"]
    group: Optional[int] = None
    if "socket_addr" not in rest:
        if arguments.get("mode") is not None:
            faults.append(
                "aggregator.mode: without a socket_addr the socket is in a folder that only one user can enter, or one "
                "group: give group instead, or a socket_addr too"
            )
        try:
            group = None if arguments.get("group") is None else addresses.group_number(arguments["group"])
        except ReporterOptionError as error:
            faults.append(f"aggregator: {error}")
    own = Own(
        identity, name, folder, address, group, trusted, start == "auto", bool(arguments.get("state_path")), **seconds
    )
    return own, arguments
