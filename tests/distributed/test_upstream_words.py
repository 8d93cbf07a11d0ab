"""What an aggregator says to its workers: subscriptions, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.distributed import upstream
from tapes.distributed.upstream import BEGIN_ANEW, BEGIN_AS_ANOTHER, FAREWELL, Word, heard

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

WORKER = bytes(range(16))


@pytest.mark.parametrize(
    ("what", "position", "topic"),
    [
        (BEGIN_ANEW, (0, 0), "21 000102030405060708090a0b0c0d0e0f 42 0000000000000000 00000000"),
        (BEGIN_AS_ANOTHER, (1, 2), "21 000102030405060708090a0b0c0d0e0f 41 0100000000000000 02000000"),
        (FAREWELL, (1 << 63, 1 << 31), "21 000102030405060708090a0b0c0d0e0f 46 0000000000000080 00000080"),
    ],
)
def test_words_have_not_changed(what: bytes, position: tuple[int, int], topic: str) -> None:
    """These are golden: workers and aggregators of other builds say and understand the same."""
    assert Word(WORKER, what, position).topic() == bytes.fromhex(topic)
    assert upstream.EVERYTHING == b""


@LAW
@given(
    st.binary(min_size=16, max_size=16),
    st.sampled_from([BEGIN_ANEW, BEGIN_AS_ANOTHER, FAREWELL]),
    st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1)),
)
def test_a_word_that_is_said_is_heard(worker: bytes, what: bytes, position: tuple[int, int]) -> None:
    """For any worker, and any frame. What is longer, shorter, or begins otherwise is no word."""
    word = Word(worker, what, position)
    topic = word.topic()

    assert heard(topic) == word
    assert {heard(topic[:length]) for length in range(len(topic))} == {None}
    assert heard(topic + b"\0") is None
    assert heard(b"?" + topic[1:]) is None
