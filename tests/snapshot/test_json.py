"""The format `json`: the tree of statistics as one document."""

from __future__ import annotations

import json
import sys
from typing import List

import pytest

from tapes.encoding.json import JsonFormat
from tapes.registry import Registry


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a"],
        ["a", "a.b", "a.b.c"],
        ["a.b.c", "a.b", "a"],
        ["a.x", "b.x.y", "a.z", "b"],
        [".".join("x" * 64), ".".join("x" * 33)],
    ],
)
def test_it_is_the_tree_of_get_stats(names: List[str]) -> None:
    """Whatever is beside, above and below what."""
    registry = Registry()
    for name in names:
        registry.counter(name).increment()
        registry.counter(name, {"k": "v"}).increment()

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
