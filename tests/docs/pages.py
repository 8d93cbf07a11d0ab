"""The examples in a page of the documentation, found and made into a program. Pure functions.

- The ```python blocks of a page are one program, in their order.
- A block with a title, like ```toml title="tapes.toml", is a file in the folder that the program runs in.
- Any other block (console, text, toml without a title) is for reading: it shows commands or output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r"^(?P<indent>\s*)```(?P<info>.*)$")
_TITLE = re.compile(r'\btitle="([^"]+)"')


class Block(NamedTuple):
    """One fenced block."""

    language: str
    title: str | None
    first_line: int
    """The number of its first line of content in the page, from 1."""
    content: str
    is_indented: bool


def blocks(page: str) -> Iterator[Block]:
    """Find the fenced blocks of a page. Raises ValueError for one that is not closed."""
    opened: tuple[int, str, str] | None = None
    lines = page.splitlines()
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if opened is None:
            opened = number, fence["info"].strip(), fence["indent"]
            continue
        first, info, indent = opened
        title = _TITLE.search(info)
        content = "".join(f"{text}\n" for text in lines[first : number - 1])
        yield Block(info.partition(" ")[0], title[1] if title else None, first + 1, content, bool(indent))
        opened = None
    if opened is not None:
        raise ValueError(f"The block that begins in line {opened[0]} is not closed.")


def program(page: str) -> str:
    """Return the python blocks as one program in which every line has the number that it has in the page."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python" and block.title is None:
            lines += [""] * (block.first_line - 1 - len(lines))
            lines += block.content.splitlines()
    return "\n".join([*lines, ""])


def files(page: str) -> dict[str, str]:
    """Return the blocks with a title: what the program expects to find in its folder."""
    return {block.title: block.content for block in blocks(page) if block.title is not None}
