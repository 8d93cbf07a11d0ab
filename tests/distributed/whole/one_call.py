"""A config with one call, programs that make that call, and what they leave where they meet."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import List

from tapes.distributed.claims import is_held
from tapes.distributed.rendezvous import Rendezvous, meeting_at
from tests.distributed.whole.programs import Place
from tests.servers.processes import until

CONFIG = """
[aggregator]
linger = 1.5
interval = 0.1
{options}
[reporters.stream]
interval = 0.05
path = "report"
"""

CALL = """
import tapes
configuration = tapes.configure(FOLDER / "tapes.toml")
served = tapes.counter("served")
"""

STARTS = """
import posix
spawn = posix.posix_spawn

def spawn_and_note(*arguments, **options):
    found = spawn(*arguments, **options)
    with open(FOLDER / "starts", "a") as file:
        file.write(f"{os.getpid()}\\n")
    return found

posix.posix_spawn = spawn_and_note
"""
"""Before the call: each start of an aggregator by this program is noted."""

SPOILED = """
(FOLDER / "spoiled").mkdir(exist_ok=True)
sys.path.insert(0, str(FOLDER / "spoiled"))
"""
"""Before the call: aggregators that this program starts run what `spoil` has written."""

_ONCE = """
import os, signal
from pathlib import Path

def die():
    try:
        os.close(os.open(Path(os.environ["PLACE"], "died"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def die_before(of, name):
    function = getattr(of, name)
    def dying(*arguments, **options):
        die()
        return function(*arguments, **options)
    setattr(of, name, dying)

"""


def spoil(place: Place, deed: str) -> None:
    """Have aggregators do something at their start. They can `die`, which only the first does."""
    folder = place.folder / "spoiled"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_ONCE + textwrap.dedent(deed))


def configured(place: Place, options: str = "", name: str = "tapes.toml") -> Rendezvous:
    """Write a config, and return where its processes meet."""
    path = place.folder / name
    path.write_text(CONFIG.format(options=options))
    return meeting_at(str(path))


def left_over(at: Rendezvous) -> List[str]:
    """Return the files at a meeting place."""
    folder = Path(at.socket).parent
    return sorted(each.name for each in folder.glob(f"{Path(at.socket).name}*"))


def await_end(at: Rendezvous) -> None:
    """Wait until the aggregator has ended."""
    until(lambda: not is_held(at.lock) and not left_over(at), "the aggregator has ended, with its files")


def aggregators(place: Place) -> List[int]:
    """Return the processes that have reported, in their order."""
    return list(dict.fromkeys(each["tapes.report"]["pid"] for each in place.report().documents()))


def starts(place: Place) -> int:
    """Return how often programs that note it have started an aggregator."""
    path = place.folder / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0
