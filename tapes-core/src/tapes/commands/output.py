"""What the commands write, and what they read a configuration with."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from tapes import plugins
from tapes.commands.layout import printable
from tapes.config.checking import block_plugins
from tapes.config.source import VARIABLE, ConfigSource, read
from tapes.errors import ConfigError

if TYPE_CHECKING:
    from tapes.config.table import AggregatorTable

FORMATTER = argparse.RawDescriptionHelpFormatter
"""Keeps the lines of descriptions as they are written."""


def write(text: str) -> None:
    """Write a line, or several, to standard output."""
    sys.stdout.write(f"{text}\n")


def complain(error: object) -> None:
    """Write an error to standard error, without what could steer a terminal: it may quote what others have said."""
    sys.stderr.write("".join(f"{printable(line)}\n" for line in str(error).split("\n")))


def add_command(commands: Any, name: str, what: str, description: str, statuses: str) -> argparse.ArgumentParser:
    """Add a command to the parser. `statuses` explains its exit statuses."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=description,
        epilog=f"exit status: {statuses}",
        formatter_class=FORMATTER,
        allow_abbrev=False,
    )
    return made


def add_file(command: argparse.ArgumentParser) -> None:
    """Add the argument FILE."""
    command.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help=f"a TOML file or a pyproject.toml (default: the one that ${VARIABLE} names)",
    )


def aggregator_of(config: ConfigSource) -> AggregatorTable:
    """Return what stands behind the table `[aggregator]` of a configuration.

    Raises ConfigError with its faults, or because it has no such table, and PluginError if nothing stands behind it.
    """
    source = read(config)
    block_plugins(source, [])  # its faults are found below
    if "aggregator" not in source.table:
        fault = (
            "aggregator: there is no such table, so each process has its metrics for itself. Add [aggregator] to have "
            "those of all of them together, or look at the page of one: python -m tapes show URL"
        )
        raise ConfigError(source.name, [fault])
    return plugins.aggregator_table()(config)
