"""What tapes-core itself provides, by the hooks that everyone uses. It needs no entry point, and so no metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

from tapes.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    # Tools that freeze programs look for imports, and would leave out what is only named in a string.
    import tapes.encoding.json
    import tapes.reporting.http
    import tapes.reporting.stream  # noqa: F401


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `stream` and `http`."""
    return {
        "http": "tapes.reporting.http:HTTPReporter",
        "stream": "tapes.reporting.stream:ThreadedStreamReporter",
    }


@hookimpl
def tapes_formats() -> Dict[str, str]:
    """Provide `json`."""
    return {"json": "tapes.encoding.json:JsonFormat"}
