"""The page about the wire format says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List

import pytest

from tapes.distributed import frames, publishing, records, state_format
from tapes.distributed.publishing import Publisher
from tapes.distributed.records import Hello
from tapes.distributed.upstream import BEGIN_ANEW, BEGIN_AS_ANOTHER, FAREWELL, Word
from tapes.kinds.kind import BY_CODE
from tapes.kinds.slices import SLICE
from tapes.registry import Registry
from tapes.state.gauge import MERGES
from tapes.state.histogram import SLOT
from tapes.state.meter import TICK
from tapes.testing import ManualClock
from tests.docs.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"


@pytest.fixture
def page() -> str:
    """Return the page."""
    return PAGE.read_text()


def section(page: str, title: str) -> str:
    """Return what stands under a title."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str) -> List[List[str]]:
    """Return the cells of all tables."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbered(text: str) -> Dict[int, str]:
    """Return the second cell of each row that begins with a number."""
    return {int(row[0]): row[1] for row in rows(text) if row[0].isdigit()}


def test_the_frame(page: str) -> None:
    """Its fields have as many bytes as there are before the records, and its flags are those that are known."""
    text = section(page, "Frames")
    fields, flags = text.split("| flag |")
    sizes = [int(row[0]) for row in rows(fields) if row[0].isdigit()]

    assert sum(sizes) == len(frames.encode(frames.Frame(bytes(16), 1, 0, 0.0, 1, b"")))
    assert numbered(f"| flag |{flags}") == {
        frames.END: "END",
        frames.LEAVING: "LEAVING",
        frames.ENDING: "ENDING",
    }
    assert f"| u8 | version | {frames.VERSION} |" in fields


def test_the_records(page: str) -> None:
    """Every type is there, by its number."""
    text = section(page, "Records")

    assert numbered(text.partition("| type | record |")[2]) == {
        records.HELLO: "hello",
        records.SERIES: "series",
        records.REMOVED: "removed",
        records.FACTS: "facts",
        **{records.STATE + code: str(kind) for code, kind in BY_CODE.items()},
        records.NAMED_STATE: "other",
    }


def test_the_slice(page: str) -> None:
    """Its head has as many bytes as the code writes."""
    sizes = [int(row[0]) for row in rows(section(page, "Slice")) if row[0].isdigit()]

    assert sum(sizes) == SLICE.size


SAID = {
    "Series": [
        ", ".join(f"{code} {BY_CODE[code]}" for code in sorted(BY_CODE)),
        f"{records.NAMED} any other",
        ", ".join(f"{number} {merge}" for number, merge in enumerate(MERGES)),
    ],
    "Words of the aggregator": [
        f"| a word | {len(Word(bytes(16), BEGIN_ANEW).topic())} |",
        *(f"| `{letter.decode()}` |" for letter in (BEGIN_ANEW, BEGIN_AS_ANOTHER, FAREWELL)),
    ],
    "The state file": [
        f"`{state_format.MAGIC.decode()}`",
        f"| {len(state_format.MAGIC)} |",
        f"| u8 | version | {state_format.VERSION} |",
        f"the last {state_format._GONE} at most",
    ],
    "Versions": [f"This is version {state_format.VERSION} of both."],
}
"""What the code does, in the words of the section."""


@pytest.mark.parametrize("title", SAID)
def test_what_a_section_says(page: str, title: str) -> None:
    """Kinds and ways to merge by their numbers, lengths, letters, magic bytes and versions."""
    text = section(page, title)

    assert [words for words in SAID[title] if words not in text] == []


def test_numbers_that_are_said(page: str) -> None:
    """Sizes, slots and ticks."""
    assert f"{publishing.FRAME:,} bytes" in page
    assert f"{frames.LARGEST:,} bytes" in page
    assert f"slots of {SLOT:g} s" in page
    assert f"floor(time / {TICK:g} s)" in page


def test_the_example_is_what_a_worker_sends(page: str) -> None:
    """The frame that the page takes apart is the one that the code makes of what the page says about it."""
    (block,) = [block.content for block in blocks(page) if block.language == "python"]
    found = re.search(r'bytes\.fromhex\("""(.*?)"""\)', block, re.DOTALL)
    assert found
    clock = ManualClock(1000.5)
    registry = Registry(clock=clock)
    registry.counter("shop.orders", {"country": "dé"}).increment(3)
    for price in (1.0, 1.0625, 1.0, 1.0625):
        registry.histogram("shop.price").update(price)
    publisher = Publisher(Hello("shop-1", "boot 7", "pid:[4026531836]", 4711, 123456789, 1.0, True))
    publisher.worker = bytes(range(16))
    publisher.begin()

    (frame,) = publisher.flush(registry)

    assert "".join(found[1].split()) == frame.hex()
