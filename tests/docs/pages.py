"""The examples in a page of the documentation, found and made into a program or a project.

- The ```python blocks of a page are one program, in their order.
- A block with a title, like ```toml title="tapes.toml", is a file in the folder that the program runs in.
- A block with a role, like ```console run="server", has commands of a project, whose files are those with a title.
- Any other block (console, text, toml without a title) is for reading: it shows commands or output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Dict, Mapping, NamedTuple

_FENCE = re.compile(r"^(?P<indent>\s*)```(?P<info>.*)$")
_ATTRIBUTE = re.compile(r'\b(\w+)="([^"]+)"')
_PROMPT = "$ "


class Block(NamedTuple):
    """One fenced block."""

    language: str
    attributes: Dict[str, str]
    first_line: int
    """The number of its first line of content in the page, from 1."""
    content: str
    is_indented: bool


class Command(NamedTuple):
    """One command line of a project, without its prompt."""

    role: str
    line: str
    attributes: Dict[str, str]


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
        content = "".join(f"{text}\n" for text in lines[first : number - 1])
        yield Block(info.partition(" ")[0], dict(_ATTRIBUTE.findall(info)), first + 1, content, bool(indent))
        opened = None
    if opened is not None:
        raise ValueError(f"The block that begins in line {opened[0]} is not closed.")


def program(page: str) -> str:
    """Return the python blocks as one program in which every line has the number that it has in the page."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python" and not block.attributes:
            lines += [""] * (block.first_line - 1 - len(lines))
            lines += block.content.splitlines()
    return "\n".join([*lines, ""])


def files(page: str, attribute: str = "title") -> dict[str, str]:
    """Return the blocks with a title: what the program expects to find in its folder."""
    return {block.attributes[attribute]: block.content for block in blocks(page) if attribute in block.attributes}


def commands(page: str) -> list[Command]:
    """Return the commands of the blocks with a role, in their order. Lines without a prompt are output."""
    return [
        Command(block.attributes["run"], line[len(_PROMPT) :], block.attributes)
        for block in blocks(page)
        if "run" in block.attributes
        for line in block.content.splitlines()
        if line.startswith(_PROMPT)
    ]


def lay_out(files: Mapping[str, str], folder: Path) -> None:
    """Write files, whose names may have folders in them, below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
