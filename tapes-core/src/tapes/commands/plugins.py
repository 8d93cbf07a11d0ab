"""`python -m tapes plugins`: what is installed, and what is broken and why."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Tuple

from tapes import plugins
from tapes.commands.layout import columns
from tapes.commands.output import add_command, complain, write
from tapes.config.checking import block_plugins
from tapes.config.source import VARIABLE, read
from tapes.errors import ConfigError, PluginError

if TYPE_CHECKING:
    import argparse

    from tapes.plugins import Plugin, Provided


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "plugins",
        "list what is installed, and what is broken and why",
        "List the installed plugins, and the reporters, formats, routes, kinds and tables of a config that they\n"
        "provide. Each of these is imported, to check that it has everything it needs.",
        "0 if everything works, 1 if a plugin, or something that it provides, is broken or\n"
        "ignored.\n"
        "A plugin that is blocked is not broken.",
    )
    command.add_argument(
        "--config",
        metavar="FILE",
        help=f"leave out the plugins that this configuration blocks (default: ${VARIABLE}, if set)",
    )
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command, and return the exit status."""
    # The table already says what the log would.
    logging.getLogger("tapes.plugins").addHandler(logging.NullHandler())
    if options.config is not None or os.environ.get(VARIABLE):
        # Other faults of the configuration do not matter here: `check` reports them.
        try:
            block_plugins(read(options.config), [])
        except ConfigError as error:
            complain(error)
            return 1
    installed = plugins.installed()
    rows = [(plugin.name, plugin.origin, _status(plugin)) for plugin in installed.plugins]
    driven = [(name, plugins.origin_of(name), "ok") for name in plugins.driven_names()]
    tables = {
        "PLUGIN": rows,
        "REPORTER": sorted([*_usability(installed.reporters, plugins.reporter_class), *driven]),
        "FORMAT": list(_usability(installed.formats, plugins.format_named)),
        "ROUTE": list(_usability(installed.routes, plugins.route_at)),
        "KIND": list(_usability(installed.kinds, plugins.kind_named)),
        "TABLE": list(_usability(installed.tables, plugins.table_named)),
    }
    shown = {what: table for what, table in tables.items() if table}
    write("\n\n".join(columns([(what, "DISTRIBUTION", "STATUS"), *table]) for what, table in shown.items()))
    return 0 if all(status in ("ok", "blocked") for table in tables.values() for _, _, status in table) else 1


def _status(plugin: Plugin) -> str:
    return f"{plugin.status}: {plugin.reason}" if plugin.reason else plugin.status


def _usability(provided: Mapping[str, Provided], look_up: Callable[[str], object]) -> Iterator[Tuple[str, str, str]]:
    for name, (_, _, plugin) in sorted(provided.items()):
        yield name, plugin.origin, _attempt(look_up, name)


def _attempt(look_up: Callable[[str], object], name: str) -> str:
    try:
        look_up(name)
    except PluginError as error:
        return f"broken: {error}"
    return "ok"
