"""The kinds of metrics that are known here: those that are imported, and those that plugins provide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Set

from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import PluginError
from tapes.kinds.kind import kind_named
from tapes.streak import log_once

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind

_broken: Set[str] = set()
"""The kinds of plugins that cannot be imported, as was logged."""


def known_kind(name: str) -> Optional[Kind]:
    """Return the kind of this name, imported if a plugin provides it; None if it is unknown here."""
    known = kind_named(name)
    if known is not None or name in _broken:
        return known
    from tapes import plugins  # imported here: workers, which have their kinds, need no plugins

    if name not in plugins.installed().kinds:
        return None
    try:
        return plugins.kind_named(name)
    except PluginError as error:
        log_once(_broken, name, LOGGER_NAME, "%s", error)
        return None
