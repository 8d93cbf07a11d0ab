"""The messages of an aggregator to its workers: 0MQ subscriptions, the only ones that a subscriber can send. Pure.

A subscription to everything announces an aggregator that knows nothing of the worker yet. One to a topic that begins
with '!' is a message to one worker, and is cancelled at once.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Tuple

EVERYTHING = b""

_WORD = struct.Struct("<1s16s1sQI")
_MARK = b"!"

BEGIN_ANEW = b"B"
"""A frame is missing: begin a new session."""

BEGIN_AS_ANOTHER = b"A"
"""The worker was retired with all before this frame: go on under a new identity, and publish what came since."""

FAREWELL = b"F"
"""Everything before this frame is taken in, so the worker may leave."""


class Word(NamedTuple):
    """A message to one worker."""

    worker: bytes
    what: bytes
    position: Tuple[int, int] = (0, 0)
    """The position before which everything is known."""

    def topic(self) -> bytes:
        """Return the topic to subscribe to."""
        return _WORD.pack(_MARK, self.worker, self.what, *self.position)


def heard(topic: bytes) -> Word | None:
    """Decode a topic; None if it is not a message to one worker."""
    if len(topic) != _WORD.size or not topic.startswith(_MARK):
        return None
    _, worker, what, session, sequence = _WORD.unpack(topic)
    return Word(worker, what, (session, sequence))
