"""What documents say of this repository is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Set

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "tapes-*/*.md", "examples/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)

_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(path: Path) -> str:
    """Return a document without its examples."""
    return _FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> Set[str]:
    """Return what stands for the headings of a document in links: words in lower case, with dashes between them."""
    titles = [re.sub(r"[^\w\s-]", "", title.lower()) for title in _HEADING.findall(prose(path))]
    return {re.sub(r"\s", "-", title.strip()) for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """To a file or a folder that is there, and to a heading that it has."""
    broken: List[str] = []
    for link in _LINK.findall(prose(path)):
        place, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = path if not place else path.parent / place
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    """Or the test above would pass whatever it reads."""
    document = tmp_path / "document.md"
    document.write_text("# A `title`, or two\n[a](#a-title-or-two) [b](nothing.md)\n```\n# no title\n[c](c.md)\n```\n")

    assert _LINK.findall(prose(document)) == ["#a-title-or-two", "nothing.md"]
    assert anchors(document) == {"a-title-or-two"}


def test_the_readme_names_every_session() -> None:
    """In its table, which is what people look at first."""
    sessions = re.findall(
        r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(sessions) > 5
    assert set(sessions) <= set(named)
