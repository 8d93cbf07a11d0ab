"""Callbacks for new metrics and failed reports: plain lists, empty until a plugin is loaded.

The registry and the reporters call the observers in these lists; `tapes.plugins` fills them with the hooks of the
installed plugins. So neither side imports the other, and a program that looks up nothing by name never imports pluggy.
An observer must not raise; `tapes.plugins` wraps each hook accordingly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from tapes.instruments import Instrument

metric_created: list[Callable[[Any, Instrument], None]] = []
"""Called with the `tapes.Registry` and each new metric, in the thread that made it."""

report_failed: list[Callable[[Any, BaseException, int], None]] = []
"""Called with the `tapes.reporting.Reporter`, the error and the number of failed reports in a row, this one included.

Called in the reporter's thread."""
