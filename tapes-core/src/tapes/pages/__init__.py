"""The statistics over HTTP: pages of a registry, for servers of any kind.

`tapes.reporting.http.HTTPReporter` serves them at a port of its own. `wsgi()` and `asgi()` return them as applications
that are mounted in one which has a server already. Everything here may be used from any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.pages.message import Headers, Page
from tapes.pages.route import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapes.pages.asgi_app import ASGI
    from tapes.pages.wsgi_app import WSGI
    from tapes.registry import Registry

__all__ = ["Headers", "Page", "Route", "asgi", "wsgi"]


def wsgi(
    registry: Registry | None = None,
    format: str | None = None,  # noqa: A002 -- the word that users know
    *,
    allowed_hosts: Sequence[str] = (),
) -> WSGI:
    """Return a WSGI application that shows `registry`, by default the process-wide one.

    Without a `format` it has all routes: JSON at its root, and those of plugins. With the name of a format it is that
    alone, so that it can be mounted at `/metrics`. With `allowed_hosts` requests for other names than these, an address
    or `localhost` are refused with 403; by default the server says for whom it is. It works below any prefix, and in
    processes that are forked after it was made.

    Raises ReporterOptionError for an argument of the wrong type, and UnknownPluginError for an unknown format.
    """
    from tapes.pages.mount import mounted
    from tapes.pages.wsgi_app import WSGI

    return WSGI(mounted(registry, format, allowed_hosts, "wsgi"))


def asgi(
    registry: Registry | None = None,
    format: str | None = None,  # noqa: A002 -- the word that users know
    *,
    allowed_hosts: Sequence[str] = (),
) -> ASGI:
    """Return an ASGI application that shows `registry`: the same as `wsgi()`, for servers that run on asyncio."""
    from tapes.pages.asgi_app import ASGI
    from tapes.pages.mount import mounted

    return ASGI(mounted(registry, format, allowed_hosts, "asgi"))
