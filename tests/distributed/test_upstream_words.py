"""What an aggregator says to its workers: subscriptions, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.distributed import upstream
from tapes.distributed.upstream import BEGIN_ANEW, BEGIN_AS_ANOTHER, FAREWELL, Word, heard

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

WORKER = bytes(range(16))


def test_words_have_not_changed() -> None:
    """These are golden: workers and aggregators of other builds say and understand the same."""
    assert upstream.EVERYTHING == b""
    assert Word(WORKER, BEGIN_ANEW).topic() == bytes.fromhex(
        "21 000102030405060708090a0b0c0d0e0f 42 0000000000000000 00000000"
    )
    assert Word(WORKER, BEGIN_AS_ANOTHER, (1, 2)).topic() == bytes.fromhex(
        "21 000102030405060708090a0b0c0d0e0f 41 0100000000000000 02000000"
    )
    assert Word(WORKER, FAREWELL, (0x0807060504030201, 0x0C0B0A09)).topic() == bytes.fromhex(
        "21 000102030405060708090a0b0c0d0e0f 46 0102030405060708 090a0b0c"
    )


@LAW
@given(
    st.binary(min_size=16, max_size=16),
    st.sampled_from([BEGIN_ANEW, BEGIN_AS_ANOTHER, FAREWELL]),
    st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1)),
)
def test_a_word_that_is_said_is_heard(worker: bytes, what: bytes, position: tuple[int, int]) -> None:
    """For any worker, and any frame."""
    word = Word(worker, what, position)

    assert heard(word.topic()) == word


@LAW
@given(st.binary(max_size=64))
def test_any_other_subscription_is_no_word(topic: bytes) -> None:
    """Whatever somebody subscribes to: it is told from words by its length and its first byte."""
    assert heard(topic) is None or topic.startswith(b"!")
    assert heard(b"?" + topic) is None


@pytest.mark.parametrize("length", [0, 1, 17, 18, 29, 31])
def test_a_word_of_another_length_is_none(length: int) -> None:
    """As one of another version would be."""
    assert heard((Word(WORKER, BEGIN_ANEW).topic() * 2)[:length]) is None


def test_a_word_is_for_one_worker() -> None:
    """Its topic begins no other topic, so nobody else's frames are asked for by it."""
    topics = [Word(WORKER, what, position).topic() for what in (BEGIN_ANEW, FAREWELL) for position in ((0, 0), (1, 1))]

    assert len({len(topic) for topic in topics}) == 1
    assert all(topic.startswith(b"!" + WORKER) for topic in topics)
