"""`python -m tapes check`: what is wrong with a configuration, without starting anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapes import plugins
from tapes.commands.output import add_command, add_file, aggregator_of, complain, write
from tapes.config.checking import check
from tapes.config.source import read
from tapes.errors import ConfigError, PluginError

if TYPE_CHECKING:
    import argparse

    from tapes.config.table import CheckedReporter


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "check",
        "check a configuration without starting anything",
        "Check a configuration without starting anything, and print its reporters and their options,\n"
        "or everything that is wrong with it. With a table [aggregator] also print what holds for it,\n"
        "like the address where processes meet, and what would keep it from its work on this host, for\n"
        "this user: a folder that is missing, or not writable.",
        "0 if nothing is wrong, 1 if something is. What is wrong on this host only does not\n"
        "keep tapes.configure() from accepting a configuration with a table [aggregator].",
    )
    add_file(command)
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command, and return the exit status."""
    try:
        checked = check(options.file)
        has_aggregator = "aggregator" in read(options.file).table
        details = aggregator_of(options.file).details() if has_aggregator else None
    except (ConfigError, PluginError) as error:
        complain(error)
        return 1
    write(f"{checked.source} is valid.")
    if checked.max_tag_sets is not None:
        write(f"max_tag_sets = {checked.max_tag_sets}")
    if not checked.sigterm:
        write("sigterm = false")
    if checked.blocked:
        write(f"plugins.block = {list(checked.blocked)}")
    if details is not None:
        write(f"aggregator: of {plugins.installed().tables['aggregator'].plugin.origin}")
        for option, value in details.settings.items():
            write(f"  {option} = {value!r}")
    reporters = checked.reporters if details is None else details.reporters
    if not reporters:
        write("It has no reporters.")
    for each in reporters:
        _write_reporter(each)
    if details is None or not details.obstacles:
        return 0
    listed = "".join(f"\n  - {obstacle}" for obstacle in details.obstacles)
    complain(f"{checked.source} is valid, but on this host, for this user:{listed}")
    return 1


def _write_reporter(checked: CheckedReporter) -> None:
    write(f"reporters.{checked.key}: {type(checked.reporter).__name__} of {plugins.origin_of(checked.type)}")
    for option, value in checked.options.items():
        write(f"  {option} = {value!r}")
