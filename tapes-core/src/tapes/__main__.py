"""The command line: `python -m tapes plugins` and `python -m tapes check`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, Callable, Iterator, List, Mapping, Sequence, Tuple

from tapes import plugins
from tapes.config.checking import block_plugins, check
from tapes.config.source import VARIABLE, read
from tapes.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from tapes.plugins import Plugin, Provided

_FORMATTER = argparse.RawDescriptionHelpFormatter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with `arguments`, by default those of the process, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe. Flushing the rest of the output at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tapes", description="Look at the plugins and the configuration of tapes.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = commands.add_parser(
        "plugins",
        help="list what is installed, and what is broken and why",
        description="List the installed plugins, and the reporters, formats, routes and kinds that they provide.\n"
        "Each of these is imported, to check that it has everything it needs.",
        epilog="exit status: 0 if everything works, 1 if a plugin, or something that it provides, is broken or\n"
        "ignored.\n"
        "A plugin that is blocked is not broken.",
        formatter_class=_FORMATTER,
        allow_abbrev=False,
    )
    listing.add_argument(
        "--config",
        metavar="FILE",
        help=f"leave out the plugins that this configuration blocks (default: ${VARIABLE}, if set)",
    )
    listing.set_defaults(command=_plugins)

    checking = commands.add_parser(
        "check",
        help="check a configuration without starting anything",
        description="Check a configuration without starting anything, and print its reporters and their options,\n"
        "or everything that is wrong with it.",
        epilog="exit status: 0 if tapes.configure() would accept the configuration, 1 if not.",
        formatter_class=_FORMATTER,
        allow_abbrev=False,
    )
    checking.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help=f"a TOML file or a pyproject.toml (default: the one that ${VARIABLE} names)",
    )
    checking.set_defaults(command=_check)
    return parser


def _check(options: argparse.Namespace) -> int:
    try:
        checked = check(options.file)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _write(f"{checked.source} is valid.")
    if checked.max_tag_sets is not None:
        _write(f"max_tag_sets = {checked.max_tag_sets}")
    if not checked.sigterm:
        _write("sigterm = false")
    if checked.blocked:
        _write(f"plugins.block = {list(checked.blocked)}")
    if not checked.reporters:
        _write("It has no reporters.")
    for key, name, given, reporter in checked.reporters:
        _write(f"reporters.{key}: {type(reporter).__name__} of {plugins.origin_of(name)}")
        for option, value in given.items():
            _write(f"  {option} = {value!r}")
    return 0


def _plugins(options: argparse.Namespace) -> int:
    # The table already says what the log would.
    logging.getLogger("tapes.plugins").addHandler(logging.NullHandler())
    if options.config is not None or os.environ.get(VARIABLE):
        # Other faults of the configuration do not matter here: `check` reports them.
        try:
            block_plugins(read(options.config), [])
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
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
    }
    _write("\n\n".join(_table([(what, "DISTRIBUTION", "STATUS"), *table]) for what, table in tables.items()))
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


def _table(rows: List[Tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{name:{widths[0]}}  {origin:{widths[1]}}  {status}" for name, origin, status in rows)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
