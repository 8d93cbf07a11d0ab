"""The command line: runs an aggregator in its own process, under a supervisor, and generates keys."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Optional, Sequence, TextIO

from tapes.config.source import VARIABLE
from tapes.distributed import keys
from tapes.distributed.configured import ConfiguredAggregator
from tapes.errors import TapesError

_DESCRIPTION = """\
Merge the metrics of all processes that publish them, and report on all of them together.

The config is a TOML file, or a pyproject.toml with the same tables below [tool.tapes]:

    [aggregator]
    socket_addr = "ipc://metrics.ipc"     # where workers publish to
    state_path = "metrics.state"          # optional: outlives a restart

    [reporters.http]
    port = 8889
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with `arguments` (default `sys.argv[1:]`), and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tapes.distributed",
        description=_DESCRIPTION,
        epilog="It ends with a last report on SIGTERM and on Ctrl-C. On SIGHUP it reloads config and keys.\n"
        "exit status: 0 when it was ended, 1 if it cannot start or go on.\n\n"
        "python -m tapes.distributed keygen DIR   makes CURVE keys for tcp:// between hosts",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["keygen"]:
        return _keygen(given[1:])
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"the config (default: the file that the environment variable {VARIABLE} names)",
    )
    parser.add_argument("--check", action="store_true", help="only check the config, and start nothing")
    parser.add_argument("--verbose", action="store_true", help="log progress too, not only problems")
    options = parser.parse_args(given)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        aggregator = ConfiguredAggregator(options.config)
        if options.check:
            _say(sys.stdout, f"{aggregator.source} is valid: {aggregator!r}\n")
            return 0
        aggregator.start(fork=False)
    except (TapesError, OSError) as error:
        _say(sys.stderr, f"{error}\n")
        return 1
    return 0


def _keygen(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tapes.distributed keygen",
        description="Make the keys by which an aggregator and its workers identify each other over tcp://.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument(
        "--worker", metavar="NAME", default="", help="make only one more pair of keys, for workers, with this name"
    )
    options = parser.parse_args(arguments)
    try:
        folder = keys.generate(options.folder, options.worker)
    except (TapesError, OSError) as error:
        _say(sys.stderr, f"{error}\n")
        return 1
    worker = options.worker or keys.WORKER
    _say(
        sys.stdout,
        f"The keys are in {folder}. Give keys={str(folder)!r} to both sides, with\n"
        f"  the aggregator: {keys.AGGREGATOR}.key_secret, and the .key of all workers that may connect\n"
        f"  its workers:    {worker}.key_secret and {keys.AGGREGATOR}.key\n"
        "Keep files that end in .key_secret private.\n",
    )
    return 0


def _say(stream: Optional[TextIO], what: str) -> None:
    if stream is not None:  # None where the stream is closed, as in a daemon
        stream.write(what)


if __name__ == "__main__":
    sys.exit(main())
