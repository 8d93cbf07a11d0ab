"""Every exception that tapes raises, in one small hierarchy.

TapesError
+-- MetricError
|   +-- InvalidNameError (ValueError)      a metric name that is empty, has an empty segment, or is too long
|   +-- InvalidTagsError (ValueError)      tags that are not a mapping of str to str, or too many or too long
|   +-- InvalidValueError (ValueError)     NaN, an infinity, a negative count
|   +-- InvalidTypeError (TypeError)       something that is no number at all, a wrong kind of argument
|   +-- NotPortableError (TypeError)       a metric that is pickled and that no other process has
|   +-- KindMismatchError (ValueError)     a name that is taken by another kind of metric
|   +-- NameCollisionError (ValueError)    a name that is also a statistics key of its parent
+-- ReporterError
|   +-- ReporterStateError (RuntimeError)  a second start
|   +-- ReporterOptionError (ValueError)   an option that no report can be made with
+-- ConfigError (ValueError)               a configuration, with every fault that was found in it
+-- PluginError
    +-- UnknownPluginError (LookupError)   a reporter or a format that is not installed
"""

from __future__ import annotations


class TapesError(Exception):
    """What everything that tapes raises on purpose derives from."""


class MetricError(TapesError):
    """A metric was asked for, or recorded to, in a way that cannot be."""


class InvalidNameError(MetricError, ValueError):
    """A metric name that is empty, has an empty segment, is too long, or is no string."""


class InvalidTagsError(MetricError, ValueError):
    """Tags that are not a mapping of non-empty str to str, or too many or too long."""


class InvalidValueError(MetricError, ValueError):
    """A number that cannot be recorded: NaN, an infinity, a negative number of events."""


class InvalidTypeError(MetricError, TypeError):
    """A value that is no number, or an argument of the wrong type."""


class NotPortableError(MetricError, TypeError):
    """A metric, a scope or a registry was pickled that is not of the default registry."""


class KindMismatchError(MetricError, ValueError):
    """A name that already belongs to another kind of metric."""


class NameCollisionError(MetricError, ValueError):
    """Two metrics that would claim the same place in the tree of statistics."""


class ReporterError(TapesError):
    """A reporter was used in a way that cannot be."""


class ReporterStateError(ReporterError, RuntimeError):
    """A reporter was started while it is running."""


class ReporterOptionError(ReporterError, ValueError):
    """A reporter was given an option that it cannot work with."""


class ConfigError(TapesError, ValueError):
    """A configuration with faults. Nothing of it has been started.

    `faults` holds one sentence for each of them; the message lists them all.
    """

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        listed = "".join(f"\n  - {fault}" for fault in faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{source} has {count}, nothing was started:{listed}")


class PluginError(TapesError):
    """Something about the plugins that are installed."""


class UnknownPluginError(PluginError, LookupError):
    """A reporter or a format that no installed plugin provides."""


def quoted(value: object) -> str:
    """Return a representation of `value` for a message: not too long, and without raising."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  whatever a foreign __repr__ raises
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:180]}..."
