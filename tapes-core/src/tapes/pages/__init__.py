"""Statistics over HTTP: pages of a registry, for any kind of server.

`tapes.reporting.http.HTTPReporter` serves them on its own port. `wsgi()` and `asgi()` return applications to mount in
one that already has a server. Everything here may be used from any thread.
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

    Without a `format` it has all routes: JSON at its root, and the routes of plugins. With the name of a format it
    serves only that, at its root, so that it can be mounted at `/metrics`. With `allowed_hosts`, a request is refused
    with 403 unless its Host is one of these names, an address or `localhost`; by default the check is left to the
    server. It works below any prefix, and in processes forked after it was made.

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
    """Return an ASGI application that shows `registry`. The same as `wsgi()`, for servers on asyncio."""
    from tapes.pages.asgi_app import ASGI
    from tapes.pages.mount import mounted

    return ASGI(mounted(registry, format, allowed_hosts, "asgi"))
