"""The application of pages: it decides on the response to a request, without any input or output."""

from __future__ import annotations

import re
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Callable, Hashable, Optional, Union

from tapes.errors import quoted
from tapes.foreign import has_to_pass
from tapes.pages.hosts import host_of
from tapes.pages.message import METHODS, TEXT, Page, Request, Response, Wanted, refusal, response_to
from tapes.pages.processes import PerProcess
from tapes.pages.renderings import Renderings
from tapes.pages.route import Undecided
from tapes.reporting.reporter import LOGGER_NAME
from tapes.streak import Streaks

if TYPE_CHECKING:
    from tapes.pages.route import Find
    from tapes.snapshot import Snapshot

CANNOT_MAKE = "could not make its page, and has answered 500 Internal Server Error."
"""Log text for a page that could not be rendered."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OF_SERVERS = frozenset(["content-length", "content-type", "transfer-encoding", "connection", "trailer", "upgrade"])

_PLAIN = frozenset([str, bytes, int, float, bool, type(None)])


class Application:
    """Answers requests with pages of snapshots. Thread-safe, and works in a forked process.

    `decide()` returns a response, or the page that a request wants. `renderings` makes that page, shared by requests
    for the same one at the same moment, and `respond()` turns it into a response. How to wait for it is up to the
    caller.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        find: Find,
        name: str,
        *,
        made: Callable[[str], None],
        failed: Callable[[str, BaseException], object],
        allows_host: Optional[Callable[[str], bool]] = None,
    ) -> None:
        """Make pages of what `snapshot` returns, with the routes that `find` returns for paths.

        Requests whose Host `allows_host` refuses get 403. `made` is called with the path of each page that a client
        will see, `failed` with the path and the error of one that could not be made. Threads that make pages are named
        `tapes-<name>-page`.
        """
        self._snapshot = snapshot
        self._find = find
        self._made = made
        self._failed = failed
        self._allows_host = allows_host
        self._renderings = PerProcess(lambda: Renderings(self._make, name))

    @classmethod
    def with_log(
        cls,
        snapshot: Callable[[], Snapshot],
        find: Find,
        name: str,
        subject: str,
        *,
        allows_host: Optional[Callable[[str], bool]] = None,
    ) -> Application:
        """Return an application that no reporter counts for: the log says as `subject` what fails.

        It does so once a streak, and each path has its own.
        """
        streaks = Streaks(LOGGER_NAME, subject)
        return cls(
            *(snapshot, find, name),
            made=lambda path: streaks.of(path).succeeded(),
            failed=lambda path, error: streaks.of(path).failed(CANNOT_MAKE, error),
            allows_host=allows_host,
        )

    @property
    def renderings(self) -> Renderings:
        """The `Renderings` of this process, which make its pages."""
        return self._renderings()

    def decide(self, request: Request) -> Union[Response, Wanted]:
        """Return the response to a request, or the page that it wants. Raises only what has to pass."""
        method = request.method
        if self._allows_host is not None and not self._allows_host(host_of(request.headers.get("host", ""))):
            return refusal(method, HTTPStatus.FORBIDDEN)
        if method not in METHODS:
            return refusal(method, HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            route = self._find(request.path)
            if route is None:
                return refusal(method, HTTPStatus.NOT_FOUND)
            wanted = Wanted(request.path, _plain(route.variant(request.headers)))
        except BaseException as error:  # it is that of a plugin
            if has_to_pass(error):
                raise
            self._fail(request.path, error)
            return refusal(method, HTTPStatus.INTERNAL_SERVER_ERROR)
        return wanted

    def respond(self, request: Request, page: Page) -> Response:
        """Return the response to a request that wants this page."""
        return response_to(request.method, page)

    def _make(self, wanted: Wanted, counted: bool) -> Page:
        try:
            route = self._find(wanted.path)
            assert route is not None  # decide() has found it
            page = _checked(route.page(self._snapshot(), wanted.variant))
        except BaseException as error:  # noqa: BLE001 -- not even SystemExit may end the thread
            self._fail(wanted.path, error)
            return Page(TEXT, None)
        if counted:
            with suppress(Exception):  # from a log handler
                self._made(wanted.path)
        return page

    def _fail(self, path: str, error: BaseException) -> None:
        with suppress(Exception):  # from a log handler or an observer
            self._failed(path, error)


def _plain(variant: Hashable) -> Hashable:
    """Return a variant whose hash never changes and raises nothing. Raises TypeError for others."""
    if type(variant) is tuple:
        return tuple([_plain(each) for each in variant])
    if type(variant) not in _PLAIN and type(variant) is not Undecided:
        raise TypeError(
            f"The variant of a route is a str, bytes, a number, None or a tuple of these, not {quoted(variant)} "
            f"({type(variant).__name__})."
        )
    return variant


def _checked(page: Page) -> Page:
    """Return a page that can be sent. Raises TypeError or ValueError for one that cannot."""
    media_type, body, given, status = page
    headers = tuple(given)
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"A page is bytes, not {quoted(body)}.")
    for name, value in (("Content-Type", media_type), *headers):
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{quoted(value)} cannot be the value of a header {quoted(name)}.")
    for name, value in headers:
        if name.lower() in _OF_SERVERS:
            raise ValueError(f"The header {name!r} is set by the server: leave out {name}: {value}.")
    return Page(media_type, bytes(body), headers, status)
