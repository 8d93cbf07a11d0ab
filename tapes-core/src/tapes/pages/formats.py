"""The formats of pages, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.encoding.json import JsonFormat
from tapes.reporting import checked

if TYPE_CHECKING:
    from tapes.encoding import Format


def format_named(name: str) -> Format:
    """Return the format of that name. Raises UnknownPluginError if there is none."""
    if name == "json":
        return JsonFormat()
    from tapes import plugins  # pluggy is imported by nobody who does not need it

    return plugins.format_named(name)


def checked_format(name: object) -> Format:
    """Return the format that the option `format` names. Raises ReporterOptionError if it is no name."""
    if isinstance(name, str):
        return format_named(name)
    raise checked.refusal("format", "the name of a format, like 'json'", name)
