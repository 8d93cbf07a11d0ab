"""The formats of pages, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.encoding.json import JsonFormat
from tapes.reporting import checked

if TYPE_CHECKING:
    from tapes.encoding import Format


def format_named(name: str) -> Format:
    """Return the format of this name. Raises UnknownPluginError if there is none."""
    if name == "json":
        return JsonFormat()
    from tapes import plugins  # here, so that pluggy is imported only if needed

    return plugins.format_named(name)


def checked_format(name: object) -> Format:
    """Return the format named by the option `format`. Raises ReporterOptionError unless it is a str.

    Raises UnknownPluginError if there is no format of this name.
    """
    if isinstance(name, str):
        return format_named(name)
    raise checked.refusal("format", "the name of a format, like 'json'", name)
