"""`python -m tapes --version`: what is installed, for reports of faults."""

from __future__ import annotations

import argparse
import platform
from typing import Any, List

from tapes.commands.output import write
from tapes.plugins.catalog import CORE
from tapes.plugins.discovery import canonical, find_plugins
from tapes.version import VERSION


def versions() -> List[str]:
    """Return a line for core, one for each other distribution that adds to tapes, and one for Python.

    It imports none of them.
    """
    found = {canonical(CORE): f"{CORE} {VERSION}"}
    for plugin in find_plugins():
        found.setdefault(canonical(plugin.distribution), f"{plugin.distribution} {plugin.version}")
    return [*found.values(), f"Python {platform.python_version()} ({platform.python_implementation()})"]


class Version(argparse.Action):
    """Prints the versions, and ends the program."""

    def __init__(self, option_strings: List[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the versions, one a line."""
        write("\n".join(versions()))
        parser.exit()
