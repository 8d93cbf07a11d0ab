"""The command line: `python -m tapes COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Sequence

from tapes.commands import check, plugins, show, status
from tapes.commands.versions import Version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with `arguments`, by default those of the process, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        exit_status: int = options.command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe. Flushing the rest of the output at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tapes",
        description="Look at the metrics, the aggregator, the configuration and the plugins of tapes.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=Version, help="print the versions of tapes, its distributions and Python")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (status, show, check, plugins):
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
