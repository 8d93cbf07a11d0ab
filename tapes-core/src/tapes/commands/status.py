"""`python -m tapes status`: what is there for the aggregator of a configuration, and what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Iterator

from tapes.commands.layout import columns, duration, printable
from tapes.commands.output import add_command, add_file, aggregator_of, complain, write
from tapes.errors import ConfigError, PluginError

if TYPE_CHECKING:
    import argparse

    from tapes.config.table import Status

_TIMEOUT = 2.0  # seconds for each answer of the aggregator


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "status",
        "show what is there for the aggregator of a configuration, and what is wrong",
        "Show what is there for the table [aggregator] of a configuration, and what is wrong, with what to do\n"
        "about it. It starts nothing, is no worker, and removes nothing. It looks as the user that it runs as:\n"
        "processes of another user have an aggregator of their own, unless [aggregator] says otherwise.",
        "0 if an aggregator runs and all is well, 1 if something is wrong.",
    )
    add_file(command)
    command.add_argument("--json", action="store_true", help="print it as one JSON document")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command, and return the exit status."""
    try:
        status = aggregator_of(options.file).onlooker(_TIMEOUT).status()
    except (ConfigError, PluginError) as error:
        complain(error)
        return 1
    write(json.dumps(status.as_json(), indent=2) if options.json else rendered(status))
    return 1 if status.problems else 0


def rendered(status: Status) -> str:
    """Return a status as text."""
    return "\n".join(printable(line) for line in _lines(status))


_STATES = {
    "runs": "an aggregator runs",
    "hangs": "an aggregator is there, but does not answer",
    "not running": "no aggregator runs",
    "unknown": "over tcp:// nothing more can be seen",
}


def _lines(status: Status) -> Iterator[str]:
    problems = status.problems
    well = "" if problems or status.state != "runs" else ", and all is well"
    yield f"{status.config}: {_STATES.get(status.state, status.state)}{well}."
    facts = [("address", status.address)]
    if status.pid is not None:
        version = "" if status.version is None else f", tapes {status.version}"
        age = "" if status.age is None else f", for {duration(status.age)}"
        facts.append(("aggregator", f"process {status.pid}{version}{age}"))
    figures = status.figures
    if figures is not None:
        losses = ", ".join(f"{name} {count}" for name, count in figures.losses.items() if count)
        facts += [
            ("workers", str(figures.workers)),
            ("lag", f"{figures.lag:.2f} s, and nothing is older than {figures.staleness:.1f} s"),
            ("series", str(figures.series)),
            ("losses", losses or "none"),
        ]
    yield from (f"  {line}" for line in columns(facts).split("\n"))
    if figures is not None and figures.reporters:
        head = ("REPORTER", "STATE", "REPORTS", "FAILURES", "WHAT")
        rows = [(each.key, each.state, str(each.reports), str(each.failures), each.what) for each in figures.reporters]
        yield ""
        yield from columns([head, *rows]).split("\n")
    if problems:
        yield ""
        yield "What is wrong:"
        for each in problems:
            yield f"- {each.what}"
            yield f"  {each.remedy}"
    if status.log_lines:
        yield ""
        yield f"The last warnings in {status.log}:"
        yield from (f"  {line}" for line in status.log_lines)
