"""What an aggregator says to workers, in the only words that 0MQ lets a subscriber say: its subscriptions. Pure.

A subscription to everything says that there is an aggregator which knows nothing of the worker yet. One to a topic that
begins with a '!' is a word for one worker, and is taken back at once.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Tuple

EVERYTHING = b""

_WORD = struct.Struct("<1s16s1sQI")
_MARK = b"!"

BEGIN_ANEW = b"B"
"""Something is missing: tell everything from the start."""

BEGIN_AS_ANOTHER = b"A"
"""You were taken to be gone. All before this frame is merged for good: be another worker, and tell what came since."""

FAREWELL = b"F"
"""Everything before this frame is known, so the worker may go."""


class Word(NamedTuple):
    """A word for one worker."""

    worker: bytes
    what: bytes
    position: Tuple[int, int] = (0, 0)
    """The session of which everything is known, and the sequence number of its next frame."""

    def topic(self) -> bytes:
        """Return the topic to subscribe to."""
        return _WORD.pack(_MARK, self.worker, self.what, *self.position)


def heard(topic: bytes) -> Word | None:
    """Return the word that a topic is, None if it is none."""
    if len(topic) != _WORD.size or not topic.startswith(_MARK):
        return None
    _, worker, what, session, sequence = _WORD.unpack(topic)
    return Word(worker, what, (session, sequence))
