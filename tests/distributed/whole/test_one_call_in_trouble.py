"""One call where no aggregator can be started, or reached: the program runs, says so once, and loses nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tapes.distributed.rendezvous import name_of
from tests.distributed.whole.one_call import CALL, SPOILED, aggregators, configured, left_over, spoil
from tests.distributed.whole.programs import Place, Program
from tests.servers.installed import missing
from tests.servers.processes import is_there, until

SOON = """
from tapes.distributed import connection, link
connection._ANSWER = link._GRACE = 0.3
"""
"""Before the call: a program soon complains that it reaches no aggregator."""


class Trouble(NamedTuple):
    """What is wrong, what is said of it, and what ends it."""

    begin: str
    said: str
    end: str
    at_once: bool = False
    """Whether it is said before it is known that no aggregator is reached."""


TROUBLES = {
    "no folder": Trouble(
        "from tapes.distributed import rendezvous\nrendezvous._ROOTS = (str(FOLDER / 'root'),)",
        "There is no private folder for the socket of the aggregator: {folder}/root/tapes-{user}: No such file "
        "or directory. Give socket_addr in [aggregator], or make one of these folders usable.",
        "(FOLDER / 'root').mkdir()",
        at_once=True,
    ),
    "a folder that others can enter": Trouble(
        """
from tapes.distributed import rendezvous
rendezvous._ROOTS = (str(FOLDER),)
(FOLDER / f"tapes-{os.geteuid()}").mkdir(0o755)
""",
        "can be entered by others: chmod 700",
        "(FOLDER / f'tapes-{os.geteuid()}').chmod(0o700)",
        at_once=True,
    ),
    "no processes": Trouble(
        """
from tapes.distributed import launcher
spawn = launcher.posix_spawn
def fail(*_, **__):
    raise BlockingIOError(11, "Resource temporarily unavailable")
launcher.posix_spawn = fail
""",
        "cannot be run: Resource temporarily unavailable. Raise the limit of processes (ulimit -u)",
        "launcher.posix_spawn = spawn",
    ),
    "no interpreter": Trouble(
        "from tapes.distributed import launcher\nfind = launcher.interpreter\nlauncher.interpreter = lambda: None",
        "no Python interpreter is found to run it: sys.executable is",
        "launcher.interpreter = find",
    ),
    "a module that is missing in the new process": Trouble(
        "(FOLDER / 'spoiled' / 'sitecustomize.py').write_text('import sys; sys.modules[\"zmq\"] = None')",
        "No aggregator can be started: ModuleNotFoundError('import of zmq halted",
        "(FOLDER / 'spoiled' / 'sitecustomize.py').write_text('')",
    ),
    "no second process": Trouble(
        """
(FOLDER / "spoiled" / "sitecustomize.py").write_text('''
import os
def fork():
    raise OSError(11, "No more")
os.fork = fork
''')
""",
        "no second process can be made: No more. Raise the limit of processes (ulimit -u)",
        "(FOLDER / 'spoiled' / 'sitecustomize.py').write_text('')",
    ),
    "no descriptors": Trouble(
        """
import resource
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
from tapes.distributed import member
{after}
taken = [os.dup(1) for _ in range(20)]
resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 20, limits[1]))
served.increment(-3)
""",
        "Too many open files. Raise the limit of open files (ulimit -n)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, limits)\nfor file in taken: os.close(file)\nserved.increment(3)",
        at_once=True,
    ),
    "an interpreter that ends at once": Trouble(
        "(FOLDER / 'spoiled' / 'sitecustomize.py').write_text('import os; os._exit(3)')",
        "it ended before it was ready: see {log}",
        "(FOLDER / 'spoiled' / 'sitecustomize.py').write_text('')",
    ),
    "a config that is gone": Trouble(
        "config = (FOLDER / 'tapes.toml').read_text()\n{after}(FOLDER / 'tapes.toml').unlink()",
        "tapes.toml",
        "(FOLDER / 'tapes.toml').write_text(config)",
    ),
    "a config that is broken": Trouble(
        "config = (FOLDER / 'tapes.toml').read_text()\n{after}(FOLDER / 'tapes.toml').write_text('[aggre')",
        "tapes.toml",
        "(FOLDER / 'tapes.toml').write_text(config)",
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_counted_in_trouble_arrives_when_that_ends(place: Place, name: str) -> None:
    """One line names the reason and the remedy."""
    trouble = TROUBLES[name]
    at = configured(place)
    spoil(place, "")
    before, _, after = trouble.begin.partition("{after}")
    parts = ("" if trouble.at_once else SOON, SPOILED, before, CALL, after)
    program = place.run("\n".join(parts) + f"\nserved.increment(3)\nnoted('seen')\n{trouble.end}\nidle()")
    said = trouble.said.format(folder=place.folder, user=os.geteuid(), log=at.log)

    assert said in only_line(program)
    place.note("seen")
    assert place.report().await_last({"served.value": 3}) == {"served.value": 3}
    program.terminated()
    assert len(program.lines()) == 1
    pids = aggregators(place)
    until(lambda: not any(map(is_there, pids)), "the aggregator has ended")
    assert not set(left_over(at)) - {os.path.basename(at.log)}
    Path(at.log).unlink(missing_ok=True)


def only_line(program: Program) -> str:
    """Return the line that a program says, once it does."""
    until(lambda: program.lines() or not program.running, "it says something")
    (line,) = program.lines()
    return line


UNREACHED = {
    "none there": ("", "No aggregator receives anything at {address}: there is none, start it or correct the address."),
    "not allowed": (
        "os.chown(FOLDER / 'a', 65534, -1)",
        "its socket belongs to the user nobody: give trust='nobody' to trust that user.",
    ),
    "held still": (
        "os.kill(int((FOLDER / 'a.lock').read_text().split()[0]), signal.SIGSTOP)",
        "the process that listens there does not answer: it is suspended, or is no aggregator.",
    ),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_a_process_says_why_it_reaches_no_aggregator(place: Place, name: str) -> None:
    """In one line, within seconds."""
    deed, expected = UNREACHED[name]
    if name == "not allowed" and os.geteuid() != 0:
        missing("only root can give files away: run the tests as root")
    address = f'start = "never"\nsocket_addr = "{place.address}"'
    configured(place, address)
    aggregator = place.supervise(place.config(), "--verbose") if deed else None
    program = place.run(f"{SOON}{deed}\n{CALL}served.increment(3); idle()")

    assert expected.format(address=place.address) in only_line(program)
    program.kill()
    if aggregator is not None:
        aggregator.resume()
        aggregator.kill()


def mounting(mounts: str) -> list[str]:
    """Return the beginning of a command that sees other file systems, where that is permitted."""
    command = ["unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$@"', "sh"]
    try:
        subprocess.run([*command, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        missing("file systems cannot be mounted here: run the tests as root, on Linux")
    return command


def test_a_read_only_root_with_shared_memory_is_enough(place: Place) -> None:
    """As in a container that may write nothing, for a user without a home."""
    (place.folder / "tapes.toml").write_text("[aggregator]\nlinger = 0.5\n")
    command = mounting("mount --bind / /\nmount -o remount,ro,bind /\nunset HOME")
    program = place.run(CALL + "served.increment(3)\nprint(configuration.get_stats().served.value)", prefix=command)

    assert (program.ended(), program.said()) == (0, "3\n")
    name = name_of(str(place.folder / "tapes.toml"))
    until(lambda: not list(Path("/dev/shm").glob(f"tapes-*/{name}*")), "the aggregator has ended, with its files")
