"""Encoders of snapshots: pure functions without sockets, clocks or threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot


class Format(Protocol):
    """A format to encode snapshots in. Plugins provide more with the hook `tapes_formats`.

    A format is created without arguments, has no state, and may be used by several threads.
    """

    media_type: str
    """The value of the HTTP header Content-Type."""

    def encode(self, snapshot: Snapshot) -> bytes:
        """Encode `snapshot`."""
        ...
