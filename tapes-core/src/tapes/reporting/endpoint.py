"""An endpoint of HTTP that reports are sent to, each over a connection of its own."""

from __future__ import annotations

import base64
import http.client
import re
from contextlib import suppress
from typing import Dict, Mapping, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from tapes.errors import ReporterError, ReporterOptionError, quoted
from tapes.reporting import checked
from tapes.reporting.answers import answer_within

_SHOWN = 500  # characters of an answer

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_USER = re.compile(r"//[^/]*@")


class Answer(NamedTuple):
    """What an endpoint has answered."""

    status: int
    reason: str
    body: bytes

    def __str__(self) -> str:
        said = self.body[:_SHOWN].decode("utf-8", "replace").strip()
        return f"{self.status} {self.reason} {said!r}" if said else f"{self.status} {self.reason}"


class Endpoint:
    """A URL of `http` or `https`, which may have a path, and `user:password@` for those who want them. Immutable.

    Its text is the URL without user and password.
    """

    def __init__(self, option: str, url: object, meaning: str) -> None:
        """Take the `url` of an option. Raises ReporterOptionError, with the `meaning`, for what is no such URL."""
        parts = _parts(url)
        if parts is None:
            shown = _USER.sub("//...@", url) if isinstance(url, str) else url  # it goes to the log
            raise checked.refusal(option, meaning, shown)
        self.path = parts.path.rstrip("/")
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._is_secure, self._host, self._port = parts.scheme == "https", parts.hostname or "", parts.port
        self._headers: Dict[str, str] = {"User-Agent": "tapes"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(user).decode('ascii')}"

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        """Send a request to `path`, and return the answer.

        Each step may take `timeout` seconds: to connect, to send, and to get the whole answer.

        Raises OSError if nobody can be reached, and ReporterError for what is no answer of HTTP.
        """
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, path, body, {**self._headers, **headers})
            answer = answer_within(connection, timeout)
            return Answer(answer.status, answer.reason, answer.read(65536))
        except http.client.HTTPException as error:
            raise ReporterError(f"{self._url} gives no answer of HTTP ({error!r}). Correct the address.") from error
        finally:
            connection.close()

    def __str__(self) -> str:
        return self._url


def check_headers(option: str, headers: Mapping[str, str]) -> None:
    """Raise ReporterOptionError for what is no header of HTTP. It does not show the value, which may be a secret."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ReporterOptionError(
                f"{option}: {quoted(name)} is no header of HTTP, by its name or its value: remove line ends, other "
                "control characters, and characters beyond Latin-1."
            )


def _parts(url: object) -> SplitResult | None:
    text = str(url)
    with suppress(ValueError):  # of a port
        parts = urlsplit(text)
        is_plain = parts.port != 0 and not parts.query and not parts.fragment
        is_plain = is_plain and text.isascii() and text.isprintable() and " " not in text
        if parts.scheme in ("http", "https") and parts.hostname and is_plain:
            return parts
    return None
