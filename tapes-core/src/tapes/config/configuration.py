"""The start of a configuration's reporters, and the handle that stops them."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Dict

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
    """The running reporters of a configuration. As a context manager it stops them. Safe to use from any thread."""

    def __init__(self, registry: Registry, reporters: Mapping[str, Reporter]) -> None:
        self.registry = registry
        """The registry that the reporters report on."""
        self.reporters: Mapping[str, Reporter] = MappingProxyType(dict(reporters))
        """The running reporters, by their keys in the config, in its order."""
        member = self.reporters.get("aggregator")
        self._member: Any = member if hasattr(member, "get_unified_stats") else None

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop all reporters, each with a last report, within `timeout` seconds in total (default 5).

        They are stopped one after the other, and each may take an equal share of the remaining time, so that one whose
        far end hangs leaves enough for the others. An error of one is logged, and the others are stopped all the same.
        A second stop does nothing.
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
        """Return a WSGI application that shows the registry: `tapes.pages.wsgi(configuration.registry, format)`.

        With a table `[aggregator]` it shows all processes, whichever of them answers.
        """
        from tapes import pages

        if self._member is None:
            return pages.wsgi(self.registry, format)
        from tapes.pages.relay import relayed
        from tapes.pages.wsgi_app import WSGI

        return WSGI(relayed(self._member.ask, format, "wsgi"))

    def get_stats(self) -> Any:
        """Return the statistics of the registry, as `tapes.get_stats()` does.

        With a table `[aggregator]` they are those of all processes, and include everything that this one has recorded
        before the call. Raises ReporterError if no aggregator can be reached.
        """
        return self.registry.get_stats() if self._member is None else self._member.get_unified_stats()

    def asgi(self, format: str | None = None) -> ASGI:  # noqa: A002 -- the word that users know
        """Return an ASGI application that shows the registry: `tapes.pages.asgi(configuration.registry, format)`.

        With a table `[aggregator]` it shows all processes, whichever of them answers.
        """
        from tapes import pages

        if self._member is None:
            return pages.asgi(self.registry, format)
        from tapes.pages.asgi_app import ASGI
        from tapes.pages.relay import relayed

        return ASGI(relayed(self._member.ask, format, "asgi"))

    def __enter__(self) -> Configuration:
        """Return itself. The reporters are already running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop all reporters."""
        self.stop()

    def __repr__(self) -> str:
        return f"<Configuration with the reporters {', '.join(self.reporters) or 'none'}>"


def configure(config: ConfigSource = None, *, registry: Registry | None = None) -> Configuration:
    """Check a configuration, then start its reporters, and return the handle that stops them.

    `config` is a mapping, the path of a TOML file with the same tables (in a file named `pyproject.toml` they are under
    `[tool.tapes]`), or None (the default) for the file named by the environment variable `TAPES_CONFIG`. The reporters
    report on `registry`, by default the one behind `tapes.timer()` and the like. The keys of a config and their units
    are in docs/configuration.md. Safe to call from any thread; a second call starts a second set of reporters.

    With a table `[aggregator]` this process, and each one forked from it, publishes to the aggregator of the
    configuration, which has the reporters; see docs/distributed.md. Whatever keeps it from that is logged and tried
    again. With `TAPES_DISABLED=1` in the environment the configuration is checked, and nothing is started.

    In the main thread it sets a handler for SIGTERM, which makes the last reports and then ends the process. It does so
    only if SIGTERM has its default action, and not if the config says `sigterm = false`.

    Raises ConfigError, with every fault of the configuration, before anything is started. Raises ReporterError if a
    reporter cannot be started, for example because its port is in use, with the reason as `__cause__`; the reporters
    started before it are stopped.
    """
    # Imported here, so that only programs that configure pay for plugins and the inspection of constructors.
    from tapes.config.checking import check
    from tapes.config.source import is_disabled
    from tapes.process import termination

    checked = check(config, registry=registry)
    if is_disabled():
        return Configuration(checked.registry, {})
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
