"""An aggregator that is configured by a config, and reloads it on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping

from tapes.config.checking import check
from tapes.config.options import Options, shown
from tapes.config.source import ConfigSource, read
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.driving import Change, needs_a_loop
from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import ConfigError, TapesError

if TYPE_CHECKING:
    from tapes.reporting import Reporter

_KEYS = "keys"  # the one option that can change while the aggregator runs


class ConfiguredAggregator(RegistryAggregator):
    """An aggregator with the options and reporters of a config."""

    def __init__(self, config: ConfigSource = None) -> None:
        """Read `config`, a path or a mapping (default: the file that TAPES_CONFIG names). Starts nothing.

        Raises ConfigError with all faults.
        """
        source = read(config)
        self._config = config
        self.source = source.name
        """The name of the config in messages."""
        table = dict(source.table)
        faults: List[str] = []
        self._options = _options(table.pop("aggregator", {}), faults)
        self._made: Dict[str, Reporter] = {}
        """The reporters, by key in the config."""
        self._tables: Mapping[str, object] = {}
        """The options of each reporter, by key."""
        try:
            checked = check({"reporters": {}, **table})
        except ConfigError as error:
            faults += error.faults
        else:
            self._made = {each.key: each.reporter for each in checked.reporters}
            reporters: Any = table.get("reporters", {})
            self._tables = reporters
            if not self._made:
                faults.append("reporters: there are none, so nobody would see what is merged")
        if not faults:
            try:
                super().__init__(list(self._made.values()), **self._options)
            except TapesError as error:
                faults.append(f"aggregator: {error}")
        if faults:
            raise ConfigError(source.name, faults)

    def reload(self) -> Change:
        """Read the config and the keys again. Reporters whose tables have not changed go on.

        On any fault nothing changes, and the fault is logged. Changes that need a restart are logged too.
        """
        try:
            new = ConfiguredAggregator(self._config)
        except (TapesError, OSError) as error:
            why = f"{error.source}: {'; '.join(error.faults)}" if isinstance(error, ConfigError) else str(error)
            self._say(
                "The aggregator keeps its config, and reporters and keys stay as they are, because of "
                f"{' '.join(why.split()).rstrip('.')}. Mend that, and send SIGHUP again."
            )
            return Change()
        changed = {
            name for name in {*self._options, *new._options} if self._options.get(name) != new._options.get(name)
        }
        if self._keys_folder is not None and new._keys_folder is not None:
            changed.discard(_KEYS)
            self._keys_folder = new._keys_folder
        if changed:
            self._say(
                f"{self.source}: another start is needed for {', '.join(sorted(changed))} in [aggregator], "
                "which stay as they were until then."
            )
        super().reload()
        return self._follow(new)

    def _follow(self, new: ConfiguredAggregator) -> Change:
        """Adopt the reporters of `new`, but keep running ones whose tables are the same."""
        running = {key for key, reporter in self._made.items() if reporter.running}
        same = {key for key, table in new._tables.items() if key in running and self._tables.get(key) == table}
        begins = {key: reporter for key, reporter in new._made.items() if key not in same}
        if needs_a_loop(begins.values()) and not needs_a_loop(self.reporters):
            self._say(
                f"{self.source}: another start is needed for the first reporter of Tornado. All reporters stay as they "
                "were until then."
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


def _options(table: object, faults: List[str]) -> Dict[str, Any]:
    if not isinstance(table, Mapping):
        faults.append(f"aggregator: {shown(table)} is not a table")
        return {}
    arguments, found = Options(RegistryAggregator).check(table, "aggregator")
    faults += found
    return arguments
