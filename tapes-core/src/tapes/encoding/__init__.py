"""Snapshots turned into what is sent: pure functions with no socket, clock or thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot


class Format(Protocol):
    """A way to write a snapshot down. Plugins provide more through the hook `tapes_formats`.

    A format is made without arguments, has no state, and may be used by several threads.
    """

    media_type: str
    """The value of an HTTP Content-Type header."""

    def encode(self, snapshot: Snapshot) -> bytes:
        """Write `snapshot` down."""
        ...
