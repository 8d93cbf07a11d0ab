"""Every exception that tapes raises, in one small hierarchy.

TapesError
+-- MetricError
|   +-- InvalidNameError (ValueError)      a metric name that is empty, has an empty segment, or is too long
|   +-- InvalidTagsError (ValueError)      tags that are not a mapping of str to str, or too many or too long
|   +-- InvalidValueError (ValueError)     NaN, an infinity, a negative count
|   +-- InvalidTypeError (TypeError)       a value that is not a number, an argument of the wrong type
|   +-- NotPortableError (TypeError)       pickling a metric that no other process has
|   +-- KindMismatchError (ValueError)     a name that belongs to another kind of metric
|   +-- NameCollisionError (ValueError)    a name that is also a statistics key of its parent
+-- ReporterError
|   +-- ReporterStateError (RuntimeError)  a second start
|   +-- ReporterOptionError (ValueError)   an invalid option
+-- ConfigError (ValueError)               a configuration, with every fault found in it
+-- PluginError
    +-- UnknownPluginError (LookupError)   a reporter, format, route or kind that is not installed
"""

from __future__ import annotations


class TapesError(Exception):
    """The base class of all errors that tapes raises on purpose."""


class MetricError(TapesError):
    """The base class of errors about making metrics and recording to them."""


class InvalidNameError(MetricError, ValueError):
    """A metric name that is empty, has an empty segment, is too long, or is not a string."""


class InvalidTagsError(MetricError, ValueError):
    """Tags that are not a mapping of non-empty str to str, or too many or too long, or that no series has."""


class InvalidValueError(MetricError, ValueError):
    """A number that cannot be recorded: NaN, an infinity, a negative number of events."""


class InvalidTypeError(MetricError, TypeError):
    """A value that is not a number, or an argument of the wrong type."""


class NotPortableError(MetricError, TypeError):
    """Pickling a metric, a scope or a registry that does not belong to the default registry."""


class KindMismatchError(MetricError, ValueError):
    """A name that already belongs to another kind of metric."""


class NameCollisionError(MetricError, ValueError):
    """Two metrics that would have the same place in the tree of statistics."""


class ReporterError(TapesError):
    """An error of a reporter, with its remedy."""


class ReporterStateError(ReporterError, RuntimeError):
    """A reporter that is in the wrong state for a call, like a second start."""


class ReporterOptionError(ReporterError, ValueError):
    """An invalid option of a reporter."""


class ConfigError(TapesError, ValueError):
    """A configuration with faults. Nothing of it was started.

    `faults` holds one sentence for each fault; the message lists them all.
    """

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        listed = "".join(f"\n  - {fault}" for fault in faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{source} has {count}, nothing was started:{listed}")


class PluginError(TapesError):
    """An error of the installed plugins."""


class UnknownPluginError(PluginError, LookupError):
    """A reporter, a format, a route or a kind that no installed plugin provides."""


def quoted(value: object) -> str:
    """Return a representation of `value` for a message: at most 200 characters, and without raising."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  a foreign __repr__ may raise anything
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:180]}..."
