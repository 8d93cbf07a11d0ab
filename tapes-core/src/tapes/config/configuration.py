"""Starting what a configuration asks for, and the handle by which it is stopped."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Dict

from tapes.errors import ReporterError
from tapes.reporting.reporter import STOP_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tapes.config.source import ConfigSource
    from tapes.pages.asgi_app import ASGI
    from tapes.pages.wsgi_app import WSGI
    from tapes.registry import Registry
    from tapes.reporting import Reporter


class Configuration:
    """What `configure` has started. A context manager that stops it. Safe to use from any thread."""

    def __init__(self, registry: Registry, reporters: Mapping[str, Reporter]) -> None:
        self.registry = registry
        """The registry that the reporters report on."""
        self.reporters: Mapping[str, Reporter] = MappingProxyType(dict(reporters))
        """The reporters that run, by their keys in the config and in its order."""

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop all reporters, each with a last report, within `timeout` seconds altogether (default 5).

        They are stopped one after the other, and each may take its share of the time that is left: one whose other end
        hangs leaves the others enough for theirs. One that raises is logged, and the others are stopped all the same.
        Stopping twice does nothing.
        """
        deadline = time.monotonic() + timeout
        for position, (key, reporter) in enumerate(self.reporters.items()):
            left = max(0.0, deadline - time.monotonic())
            try:
                reporter.stop(left / (len(self.reporters) - position))
            except Exception:
                import logging

                logging.getLogger("tapes.config").exception("The reporter %r (%r) could not be stopped.", key, reporter)

    def wsgi(self, format: str | None = None) -> WSGI:  # noqa: A002 -- the word that users know
        """Return a WSGI application that shows the registry: `tapes.pages.wsgi(configuration.registry, format)`."""
        from tapes import pages

        return pages.wsgi(self.registry, format)

    def asgi(self, format: str | None = None) -> ASGI:  # noqa: A002 -- the word that users know
        """Return an ASGI application that shows the registry: `tapes.pages.asgi(configuration.registry, format)`."""
        from tapes import pages

        return pages.asgi(self.registry, format)

    def __enter__(self) -> Configuration:
        """Return itself: everything is running already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def __repr__(self) -> str:
        return f"<Configuration with the reporters {', '.join(self.reporters) or 'none'}>"


def configure(config: ConfigSource = None, *, registry: Registry | None = None) -> Configuration:
    """Check a configuration, then start its reporters, and return the handle that stops them.

    `config` is a mapping, the path of a TOML file with the same tables (in a file named `pyproject.toml` they are under
    `[tool.tapes]`), or None (the default) for the file that the environment variable `TAPES_CONFIG` names. `registry`
    is what the reporters report on, by default the one behind `tapes.timer()` and the like. The keys of a config and
    their units are in docs/configuration.md. Safe to call from any thread; a second call starts a second set of
    reporters.

    In the main thread it has SIGTERM make the last reports before it ends the process, where SIGTERM still has its
    default action, unless the config says `sigterm = false`.

    Raises ConfigError, with every fault of the configuration, before anything has been started. Raises ReporterError
    if a reporter cannot be started (its port is in use), with the reason as `__cause__`; those that had been started by
    then have been stopped.
    """
    # Only who configures pays for the plugins and for what reads constructors.
    from tapes.config.checking import check
    from tapes.process import termination

    checked = check(config, registry=registry)
    previous_max_tag_sets = checked.registry.max_tag_sets
    if checked.max_tag_sets is not None:
        checked.registry.max_tag_sets = checked.max_tag_sets
    started: Dict[str, Reporter] = {}
    try:
        for key, _, _, reporter in checked.reporters:
            reporter.start()
            started[key] = reporter
    except BaseException as error:
        checked.registry.max_tag_sets = previous_max_tag_sets
        Configuration(checked.registry, started).stop()
        if not isinstance(error, Exception):
            raise
        rest = f" The reporters that had been started before it ({', '.join(started)}) are stopped." if started else ""
        raise ReporterError(
            f"{checked.source}: reporters.{key} ({reporter!r}) could not be started: {error}.{rest}"
        ) from error
    if checked.sigterm:
        termination.prepare()
    else:
        termination.leave_alone()
    return Configuration(checked.registry, started)
