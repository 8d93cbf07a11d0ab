"""States that arrive from several sources, repeated, late and in any order."""

from __future__ import annotations

from random import Random
from typing import Any, List, Tuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.recording.histogram import with_values
from tapes.state import histogram
from tapes.state.counter import CounterState
from tapes.state.gauge import single
from tapes.state.sources import Sources

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=60)

Message = Tuple[str, int, int]

messages = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8), st.just(0)), max_size=25).map(
    # Cumulative states grow with their sequence number, and are the same whenever they are sent again.
    lambda found: [(source, sequence, sequence * (10 + ord(source))) for source, sequence, _ in found]
)


def received(sent: List[Message]) -> Sources:
    """Return what has received these messages in this order."""
    sources = Sources()
    for source, sequence, count in sent:
        sources.receive(source, sequence, CounterState(count, 2 * count))
    return sources


def total_of(sources: Sources) -> Any:
    """Return the total, which has to be there."""
    total = sources.total()
    assert total is not None
    return total


def test_nothing_received_has_no_total() -> None:
    """There is no state that would be the zero of every kind."""
    assert Sources().total() is None


def test_a_single_state_is_the_total() -> None:
    """What one source has sent is all there is."""
    sources = Sources()
    state = CounterState(3, 1)

    assert sources.receive("a", 1, state) is True
    assert sources.total() is state


def test_the_total_is_the_merge_of_all_sources() -> None:
    """Each source counts once, with its newest state."""
    sources = Sources()
    sources.receive("a", 1, CounterState(3, 1))
    sources.receive("b", 1, CounterState(10, 0))
    sources.receive("a", 2, CounterState(5, 1))

    total = total_of(sources)

    assert (total.increments, total.decrements) == (15, 1)


def test_the_same_state_twice_changes_nothing() -> None:
    """A repeated message is recognised by its sequence number."""
    sources = received([("a", 1, 3)])

    assert sources.receive("a", 1, CounterState(3, 6)) is False
    assert total_of(sources).increments == 3


def test_an_older_state_changes_nothing() -> None:
    """A message that was overtaken by a newer one is dropped."""
    sources = received([("a", 7, 70)])

    assert sources.receive("a", 6, CounterState(60, 120)) is False
    assert total_of(sources).increments == 70


def test_sequences_may_have_gaps() -> None:
    """States are cumulative, so that the newest one stands for those that were lost."""
    sources = received([("a", 1, 10)])

    assert sources.receive("a", 1_000_000, CounterState(90, 0)) is True
    assert total_of(sources).increments == 90


def test_the_first_sequence_may_be_any() -> None:
    """Whoever receives may have come late, and a sequence may begin at 0."""
    assert total_of(received([("a", 0, 5)])).increments == 5
    assert total_of(received([("a", 99, 5)])).increments == 5


def test_a_source_that_begins_anew_is_another_one() -> None:
    """A source is told by all of what names it: the same process number with another epoch adds to the total."""
    sources = Sources()
    sources.receive(("host", 17, "first epoch"), 40, CounterState(4, 0))
    sources.receive(("host", 17, "second epoch"), 1, CounterState(1, 0))

    assert total_of(sources).increments == 5


@LAW
@given(messages, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(sent: List[Message], shuffler: Random) -> None:
    """However messages are repeated and reordered, the total is that of the newest state of each source."""
    newest = {source: count for source, _, count in sorted(sent, key=lambda message: message[1])}
    disturbed = sent + shuffler.sample(sent, len(sent) // 2)
    shuffler.shuffle(disturbed)

    total = received(disturbed).total()

    assert (total.increments if total else 0) == sum(newest.values())
    assert (total.decrements if total else 0) == 2 * sum(newest.values())


@LAW
@given(messages)
def test_receive_tells_whether_it_was_new(sent: List[Message]) -> None:
    """True exactly for a sequence number above all that this source has sent."""
    sources = Sources()
    highest = {"a": -1, "b": -1, "c": -1}
    for source, sequence, count in sent:
        expected = sequence > highest[source]
        highest[source] = max(highest[source], sequence)

        assert sources.receive(source, sequence, CounterState(count, 0)) is expected


def test_reading_the_total_changes_nothing() -> None:
    """It may be read any number of times, between any messages."""
    sources = Sources()
    for sequence in range(1, 5):
        sources.receive("a", sequence, CounterState(sequence, 0))
        sources.receive("b", sequence, CounterState(sequence * 10, 0))

        assert total_of(sources).increments == total_of(sources).increments == sequence * 11


def test_every_kind_of_state_is_received() -> None:
    """All that is asked of a state is that it merges."""
    gauges, histograms = Sources(), Sources()
    gauges.receive(1, 1, single(4, 10.0))
    gauges.receive(2, 1, single(6, 5.0))
    histograms.receive(1, 1, with_values(histogram.started(0.0), [1.0, 2.0], 1.0, 1.0))
    histograms.receive(2, 1, with_values(histogram.started(0.0), [3.0], 1.0, 1.0))

    gauge, recorded = total_of(gauges), total_of(histograms)
    assert [gauge.value(merge) for merge in ("sum", "last")] == [10, 4]
    assert (recorded.count, recorded.sum) == (3, 6.0)
