"""The format `json`: the tree of statistics as one document."""

from __future__ import annotations

import json
import sys
from itertools import islice, permutations
from typing import Any

import pytest

from tapes.encoding.json import JsonFormat
from tapes.registry import Registry

NAMES = ("a", "a.b.c", "b.x", "a.b")
SERIES = [(name, tags) for name in NAMES for tags in (None, {"k": "v"})]


@pytest.mark.parametrize("made", [[], *islice(permutations(SERIES), 0, None, 2000)])
def test_it_is_the_tree_of_get_stats(made: Any) -> None:
    """Whatever is beside, above and below what, and whichever was made first; in the same order, too."""
    registry = Registry()
    for number, (name, tags) in enumerate(made):
        registry.counter(name, tags=tags).increment(number)

    encoded = JsonFormat().encode(registry.snapshot())

    assert json.loads(encoded) == registry.get_stats()
    assert encoded == json.dumps(registry.get_stats(), separators=(",", ":")).encode()


def test_the_longest_name_needs_no_deep_stack() -> None:
    """A page is made in whatever thread asks for it, however deep it is in its own work."""
    registry = Registry()
    registry.counter(".".join("x" * 64), {"k": "v"}).increment()
    JsonFormat().encode(registry.snapshot())
    before, frame = sys.getrecursionlimit(), sys._getframe()
    depth = 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 30)
    try:
        encoded = JsonFormat().encode(registry.snapshot())
    finally:
        sys.setrecursionlimit(before)

    assert encoded.endswith(b'{"k=v":{"value":1}' + b"}" * 65)
