"""Names and tags as StatsD can read them."""

from __future__ import annotations

import re
from typing import Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.reporting.statsd.names import SeriesName, distinguished, named, safe_name, tagged

TEXTS = st.text(st.one_of(st.sampled_from("_0xab5f.:|@#;=,/ \n-"), st.characters()), min_size=1, max_size=12)
TAGS = st.dictionaries(TEXTS, TEXTS, max_size=3).map(lambda tags: tuple(sorted(tags.items())))


def read_back(text: str) -> str:
    """Undo the writing of code points, from left to right."""
    return re.sub(r"_0x([0-9a-f]+)_", lambda found: chr(int(found[1], 16)), text)


@pytest.mark.parametrize(
    "name", ["shop.orders", "http.Cart.latency", "max_queue-2.x", "a_b_c", "0x10", "a.0x10", "_0", "x"]
)
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    """Letters, digits, dots, underscores and hyphens are what everybody can read."""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a:b", "a_0x3a_b"),
        ("a|b", "a_0x7c_b"),
        ("a@b", "a_0x40_b"),
        ("a b", "a_0x20_b"),
        ("a\nb", "a_0xa_b"),
        ("a/b", "a_0x2f_b"),
        ("a#b", "a_0x23_b"),
        ("caf\u00e9", "caf_0xe9_"),
        ("\U0001f600", "_0x1f600_"),
        ("a_0x20_b", "a_0x5f_0x20_b"),
        ("\ud800", "_0xd800_"),
    ],
)
def test_what_would_break_the_protocol_is_written_as_its_code_point(name: str, written: str) -> None:
    """Each character that StatsD cannot read is written in hexadecimal, and so is what looks like that."""
    assert safe_name(name) == written


@given(TEXTS)
def test_a_safe_name_can_be_read_back(name: str) -> None:
    """Nothing is lost, so different names stay different, and nothing is left that could break the protocol."""
    written = safe_name(name)

    assert re.fullmatch(r"[A-Za-z0-9_.-]+", written)
    assert read_back(written) == name


@pytest.mark.parametrize(
    ("tags", "path"),
    [
        ((), "shop.orders"),
        ((("item", "book"),), "shop.orders.item_book"),
        ((("code", "200"), ("status_class", "not_found")), "shop.orders.code_200.status_class_not_found"),
        ((("version", "1.2"),), "shop.orders.version_1_0x2e_2"),
        ((("path", "/items"),), "shop.orders.path__0x2f_items"),
        ((("key", ""),), "shop.orders.key_"),
        ((("address", "0x1f"),), "shop.orders.address_0x5f_0x1f"),
    ],
)
def test_tags_are_appended_to_the_name(tags: Tuple[Tuple[str, str], ...], path: str) -> None:
    """Each tag is one more segment, key and value with an underscore between."""
    assert named("shop.orders", tags) == SeriesName(path, "")


@pytest.mark.parametrize(
    ("tags", "suffix"),
    [
        ((), ""),
        ((("item", "book"),), "|#item:book"),
        ((("code", "200"), ("path", "/items:1.2")), "|#code:200,path:/items:1.2"),
        ((("a:b", "c,d|e"),), "|#a_0x3a_b:c_0x2c_d_0x7c_e"),
        ((("key", ""),), "|#key:"),
    ],
)
def test_tags_of_dogstatsd_follow_the_line(tags: Tuple[Tuple[str, str], ...], suffix: str) -> None:
    """In the style of DogStatsD the name is that of the metric, and the tags are at the end of the line."""
    assert tagged("shop orders", tags) == SeriesName("shop_0x20_orders", suffix)


@given(TEXTS, TAGS)
def test_tags_of_dogstatsd_can_be_read_back(name: str, tags: Tuple[Tuple[str, str], ...]) -> None:
    """Nothing is lost of the tags either."""
    written = tagged(name, tags)

    pairs = written.suffix[2:].split(",") if written.suffix else []
    assert tuple(tuple(map(read_back, pair.split(":", 1))) for pair in pairs) == tags
    assert read_back(written.path) == name
    assert re.fullmatch(r"(\|#[A-Za-z0-9_.:/,-]+)?", written.suffix)


@given(TEXTS, TAGS, TEXTS, TAGS)
def test_series_that_share_a_name_can_be_told_apart(
    name: str, tags: Tuple[Tuple[str, str], ...], other_name: str, other_tags: Tuple[Tuple[str, str], ...]
) -> None:
    """Where two series have the same name once their tags are part of it, the second gets one that no other has."""
    first, second = named(name, tags), named(other_name, other_tags)
    if (name, tags) == (other_name, other_tags):
        return

    second_apart = distinguished(second, other_tags)

    assert second_apart not in (first, second)
    assert distinguished(first, tags) != second_apart
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", second_apart.path)


def test_two_names_that_are_alike_are_told_apart_by_their_tags() -> None:
    """The name that another has already is followed by the tags as they are."""
    alike = named("a", (("b", "c_d"),))
    assert alike == named("a", (("b_c", "d"),)) == named("a.b_c_d", ())

    apart = [distinguished(alike, (("b", "c_d"),)), distinguished(alike, (("b_c", "d"),)), distinguished(alike, ())]

    assert [name.path for name in apart] == ["a.b_c_d_0x_b_0x3d_c_d", "a.b_c_d_0x_b_c_0x3d_d", "a.b_c_d_0x_"]
