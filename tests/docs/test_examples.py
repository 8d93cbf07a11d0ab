"""The examples of the documentation run as they stand."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.docs.pages import blocks, files, lay_out, program

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for pattern in ("README.md", "docs/**/*.md", "tapes-*/README.md", "examples/**/*.md")
    for page in ROOT.glob(pattern)
)

# Runs a page's program under the page's own name, so that a traceback points into the page.
RUN = "import sys; exec(compile(open(sys.argv[1]).read(), sys.argv[2], 'exec'), {'__name__': '__main__'})"


def run_page(page: str, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the examples of a page in a process of their own, in a folder with the files that the page shows."""
    (folder / "run").mkdir()
    lay_out(files(page), folder / "run")
    (folder / "program.py").write_text(program(page))
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "program.py"), name],
        cwd=folder / "run",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_the_page_run(page: Path, tmp_path: Path) -> None:
    """All python blocks of a page run one after the other, as a reader would type them in."""
    text = page.read_text()

    result = run_page(text, str(page.relative_to(ROOT)), tmp_path)

    assert result.returncode == 0, result.stderr
    assert not any(block.is_indented and block.language == "python" for block in blocks(text))


PAGE = textwrap.dedent("""\
    # A page

    ```toml title="shop.toml"
    open = true
    ```

    ```console
    $ rm -rf everything
    ```

    ```python
    from pathlib import Path
    text = Path("shop.toml").read_text()
    ```

    Later on the same page:

    ```python
    assert text == "open = true\\n"
    {statement}
    ```
    """)


def test_the_blocks_of_a_page_share_their_names_and_files(tmp_path: Path) -> None:
    """A later block uses what an earlier one defined, and files come from blocks with a title."""
    result = run_page(PAGE.format(statement="print('done')"), "page.md", tmp_path)

    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


def test_an_example_that_fails_is_found_in_its_page(tmp_path: Path) -> None:
    """The traceback of a failing example has the page and the line in it."""
    result = run_page(PAGE.format(statement="1 / 0"), "page.md", tmp_path)

    assert result.returncode == 1
    assert 'File "page.md", line 20' in result.stderr


def test_a_block_that_is_not_closed_is_an_error() -> None:
    """A forgotten fence would turn the rest of the page into one block, or hide an example."""
    with pytest.raises(ValueError, match="line 3 is not closed"):
        program("# A page\n\n```python\nprint()\n")
