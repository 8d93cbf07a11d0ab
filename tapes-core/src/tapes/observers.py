"""Who is told of what happens: plain lists of callables, empty until a plugin is loaded.

The registry and the reporters call whatever is in these lists; `tapes.plugins` puts the hooks of the installed plugins
into them. So that neither has to know the other, and a program that looks nothing up by name never imports pluggy.
An observer must not raise: `tapes.plugins` wraps each hook so that it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from tapes.instruments import Instrument

metric_created: list[Callable[[Any, Instrument], None]] = []
"""Called with the `tapes.Registry` and each new metric, by the thread that made it."""

report_failed: list[Callable[[Any, BaseException, int], None]] = []
"""Called with the `tapes.reporting.Reporter`, the error and how many reports in a row have failed by now.

By the reporter's thread."""
