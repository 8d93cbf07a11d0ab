"""The metadata of other distributions: whatever is wrong with it harms nobody else."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.distributions import Distributions

GOOD = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_reporters():
    return {"good": "good:GoodReporter"}
"""

LIST = """
from tapes import plugins
found = plugins.installed()
print(*[f"{plugin.name}:{plugin.origin}:{plugin.status}" for plugin in found.plugins[1:]])
"""

FINDER = """
import sys
class Finder:
    def __repr__(self): return "<Finder>"
    def find_spec(self, name, path=None, target=None): return None
    def find_distributions(self, context): raise OSError("gone")
sys.meta_path.insert(0, Finder())
"""


def metadata(distributions: Distributions, name: str) -> Path:
    """Return the folder of the metadata of a distribution 1.0."""
    return distributions.site / f"{name}-1.0.dist-info"


def test_entry_points_that_are_not_utf8(distributions: Distributions) -> None:
    """A file of entry points that cannot be decoded costs one warning, with its path, and the others are loaded."""
    distributions.install("good-metrics", {"good": GOOD})
    distributions.install("unrelated", {})
    broken = metadata(distributions, "unrelated") / "entry_points.txt"
    broken.write_bytes("[console_scripts]\njosé = jose:main\n".encode("latin-1"))

    done = distributions.run(LIST + LIST)

    warning, *listed = done.lines
    assert warning.startswith(
        "WARNING tapes.plugins: The plugin 'entry_points.txt' of unrelated 1.0 is left out: "
        f"loading '{broken}' raised UnicodeDecodeError: "
    )
    assert listed == ["good:good-metrics 1.0:ok entry_points.txt:unrelated 1.0:broken"] * 2


@pytest.mark.parametrize("content", [None, b"", b"Name: jos\xe9\n", b"Version: 1.0\n"])
def test_metadata_that_do_not_tell_the_name(distributions: Distributions, content: bytes | None) -> None:
    """Distributions without a name in their METADATA are told apart by their folders, and all are loaded."""
    for name in ("one", "two"):
        distributions.install(name, {name: GOOD.replace("good", name)})
        file = metadata(distributions, name) / "METADATA"
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)

    done = distributions.run(LIST)

    assert done.lines == ["one:one 1.0:ok two:two 1.0:ok"]


def test_first_distribution_on_the_path_wins(distributions: Distributions) -> None:
    """A distribution that has no plugin any more has none, though an old one further along the path still has."""
    old = distributions.root / "old"
    distributions.install("good-metrics", {"good": GOOD}, site=old)
    distributions.install("Good.Metrics", {}, version="2.0")
    (distributions.site / "Good.Metrics-2.0.dist-info" / "entry_points.txt").unlink()
    distributions.path.append(old)

    done = distributions.run(LIST)

    assert done.lines == [""]


@pytest.mark.parametrize("newer", ["1.10", "2.0"])
def test_newer_of_two_versions_in_a_folder_wins(distributions: Distributions, newer: str) -> None:
    """What an upgrade that was cut short has left of the version before is not loaded."""
    for version in ("1.9", newer, "1.0"):
        distributions.install("good-metrics", {"good": GOOD}, version=version)

    done = distributions.run(LIST)

    assert done.lines == [f"good:good-metrics {newer}:ok"]


def test_what_pip_is_removing_is_not_taken_for_another(distributions: Distributions) -> None:
    """The metadata that pip renames before it removes them are those of the distribution that they are of."""
    distributions.install("good-metrics", {"good": GOOD})
    metadata(distributions, "good_metrics").rename(metadata(distributions, "~ood_metrics"))
    distributions.install("good-metrics", {"good": GOOD})

    done = distributions.run(LIST)

    assert done.lines == ["good:good-metrics 1.0:ok"]


def test_odd_lines_cost_themselves_only(distributions: Distributions) -> None:
    """An entry point that cannot be read is a broken plugin, and those beside it, in any group, are not its concern."""
    distributions.install("good-metrics", {"good": GOOD})
    (metadata(distributions, "good_metrics") / "entry_points.txt").write_text(
        "[console_scripts]\nno value\nsame = a:b\nsame = a:c\n[ tapes ]\n# note\n; note\nodd\nfar = a b: c\ngood=good\n"
    )

    done = distributions.run(LIST)

    assert [line.partition(" is left out: ")[2].partition(". Update")[0] for line in done.lines[:2]] == [
        "loading 'a b: c' raised ValueError: entry_points.txt gives 'far' neither 'module' nor 'module:attribute'",
        "loading '' raised ValueError: entry_points.txt gives 'odd' neither 'module' nor 'module:attribute'",
    ]
    assert done.lines[2:] == [
        "far:good-metrics 1.0:broken good:good-metrics 1.0:ok odd:good-metrics 1.0:broken",
    ]


def test_path_with_anything_on_it(distributions: Distributions) -> None:
    """What is on the path besides folders, and is no string at all, hides nothing that comes after it."""
    distributions.install("good-metrics", {"good": GOOD})
    root = distributions.root
    (root / "file").write_text("")
    (root / "damaged.zip").write_bytes(b"PK\3\4 and no more")
    with zipfile.ZipFile(root / "empty.zip", "w"):
        pass
    unreadable = root / "unreadable"
    unreadable.mkdir()
    (root / "folder").mkdir()
    (root / "folder" / "file-1.0.dist-info").write_text("")
    (root / "folder" / "empty-1.0.dist-info").mkdir()
    os.mkdir(os.path.join(os.fsencode(root / "folder"), b"\xff-1.0.dist-info"))
    entries = [str(root / name) for name in ("missing", "file", "damaged.zip", "empty.zip", "unreadable", "folder")]
    unreadable.chmod(0)

    done = distributions.run(
        f"import pathlib, sys; sys.path[:0] = [b'bytes', pathlib.Path('path'), None, 5, '', *{entries!r}]" + LIST
    )

    assert (done.errors, done.lines) == ("", ["good:good-metrics 1.0:ok"])


def test_finder_that_raises(distributions: Distributions) -> None:
    """A finder of somebody else that raises costs one warning, and what it alone could find."""
    distributions.install("good-metrics", {"good": GOOD})

    done = distributions.run(FINDER + LIST)

    assert done.lines == [
        (
            "WARNING tapes.plugins: Plugins that only <Finder> can find are left out: "
            "its find_distributions() raised OSError('gone')."
        ),
        "good:good-metrics 1.0:ok",
    ]


@pytest.mark.parametrize("zipped", [False, True])
def test_egg(distributions: Distributions, zipped: bool) -> None:
    """A plugin in an egg, a folder or a file, is found, and told by the name of the egg where it has no PKG-INFO."""
    egg = distributions.root / "good_metrics-1.5-py3.egg"
    (egg / "EGG-INFO").mkdir(parents=True)
    (egg / "EGG-INFO" / "entry_points.txt").write_text("[tapes]\ngood = good\n")
    (egg / "good.py").write_text(GOOD)
    if zipped:
        unpacked = egg.rename(egg.with_suffix(".folder"))
        with zipfile.ZipFile(egg, "w") as archive:
            for name in ("EGG-INFO/entry_points.txt", "good.py"):
                archive.write(unpacked / name, name)
    distributions.path.append(egg)

    done = distributions.run(LIST)

    assert done.lines == ["good:good_metrics 1.5:ok"]
