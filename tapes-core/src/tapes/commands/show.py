"""`python -m tapes show`: the metrics of all processes, as tables."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from tapes import plugins
from tapes.commands.layout import printable
from tapes.commands.output import add_command, aggregator_of, complain, write
from tapes.commands.page import stats_at
from tapes.commands.series import series_in, tables, tree_of
from tapes.config.source import VARIABLE
from tapes.errors import ConfigError, PluginError, ReporterError

if TYPE_CHECKING:
    import argparse

    from tapes.kinds.kind import Kind

_TIMEOUT = 10.0  # seconds for the answer
_WATCH = 2.0  # seconds between two looks
_WIDTH = 120  # characters of a line, where there is no terminal
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "show",
        "print the metrics of all processes as a table",
        "Print the metrics as a table: of all processes, asked of the aggregator of a configuration, or those of\n"
        "a JSON page. --json has all statistics, the table of some kinds has the most important ones. It starts\n"
        "nothing, and is no worker.",
        "0 if they were shown, also when --watch ends by Ctrl-C; 1 if there is nothing to ask,\nor no answer.",
    )
    command.add_argument(
        "source",
        nargs="?",
        metavar="FILE|URL",
        help=f"a TOML file or a pyproject.toml (default: the one that ${VARIABLE} names), or the http:// URL of a page",
    )
    command.add_argument("--json", action="store_true", help="print the tree of statistics as JSON")
    command.add_argument(
        "--name", default="*", metavar="PATTERN", help="only names that match, like 'shop.*' (* and ? are wildcards)"
    )
    command.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=_WATCH,
        metavar="SECONDS",
        help=f"print them again and again, every {_WATCH:g} seconds by default, until Ctrl-C",
    )
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command, and return the exit status."""
    try:
        ask = _asking(options.source)
        if options.watch is None:
            write(_shown(ask(), options))
            return 0
    except (ConfigError, PluginError, ReporterError) as error:
        complain(error)
        return 1
    with suppress(KeyboardInterrupt):
        _watch(ask, options)
    return 0


def _watch(ask: Callable[[], Dict[str, Any]], options: argparse.Namespace) -> None:
    is_terminal = sys.stdout.isatty()
    name = options.source or "The metrics"
    while True:
        try:
            shown = _shown(ask(), options)
        except ReporterError as error:  # the next aggregator may answer
            shown = json.dumps({"error": str(error)}) if options.json else printable(str(error))
        if not options.json:
            shown = f"{name} at {time.strftime('%H:%M:%S')}\n\n{shown}\n"
        write((_CLEAR if is_terminal else "") + shown)
        sys.stdout.flush()
        time.sleep(options.watch)


def _asking(source: str | None) -> Callable[[], Dict[str, Any]]:
    """Return the function that asks for the statistics. Raises ConfigError or PluginError."""
    if source is not None and source.startswith(("http://", "https://")):
        url = source
        return lambda: stats_at(url, _TIMEOUT)
    return aggregator_of(source).onlooker(_TIMEOUT).get_stats


def _shown(stats: Dict[str, Any], options: argparse.Namespace) -> str:
    found = series_in(stats, options.name)
    if options.json:
        return json.dumps(tree_of(found), indent=None if options.watch else 2)
    lines = tables(found, _kinds(), shutil.get_terminal_size((_WIDTH, 24)).columns)
    if lines:
        return "\n".join(lines)
    return "There are no metrics." if options.name == "*" else f"There are no metrics {options.name!r}."


def _kinds() -> List[Kind]:
    """Return all kinds that can be used, core's first."""
    found = []
    for name in plugins.installed().kinds:
        with suppress(PluginError):
            found.append(plugins.kind_named(name))
    return found


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86_400:
        raise ValueError(text)
    return seconds


_seconds.__name__ = "number of seconds from 0.1"  # argparse says so
